-- What mlx5 makes of the hint that an exporter gives (get_tph of the series): which tags reach the NIC's table, when the
-- exporter is asked, and who else may hold a tag. Needs a kernel with DMA_BUF_TPH.
local vfio = require "vfio"
local registering, steering, scope = require "registering", require "steering", require "scope"

local PAGE = 4096
local case = registering.case
local LOCAL = { "local_write" }
local PH = { "bidirectional", "requester", "target", "target-priority" }

--- A case with `dev`, `export()`, `register(name, buf)` and `hint(name, mr)`.
local function exporting(body)
  return case(function(with)
    local dev <close> = vfio.open(with.opt.exporter)
    with.dev = dev
    function with.export(pages)
      return dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = (pages or 4) * PAGE } } }
    end
    function with.register(name, buf, request)
      local all = { dmabuf = buf, length = PAGE, access = LOCAL }
      for key, value in pairs(request or {}) do
        all[key] = value
      end
      local mr = with.answer(name, with.pd.reg_mr_ex, with.pd, all)
      if mr then
        local tph = mr:tph()
        local tag = tph.enabled and steering.tag(with.opt.nic, tph.st) or nil
        with.answer:value(name .. ", its hint", { enabled = tph.enabled, index = tph.st, ph = tph.ph, tag = tag })
      end
      return mr
    end
    body(with)
  end)
end

return {
  name = "conformance-mlx5-get-tph",
  about = "what mlx5 makes of the hint that an exporter gives",
  options = registering.options,
  needs = { "vfio.dma_buf_tph" },
  cases = {
    { "tags and hints", exporting(function(with)
      for _, ph in ipairs(PH) do
        for _, st in ipairs { 0, 1, 2, 0x42, 0x7f, 0xff } do
          local name = ("tag %d, %s"):format(st, ph)
          local buf <close> = with.export()
          with.answer(name .. ", set", buf.set_tph, buf, { st = st, ph = ph })
          local _mr <close> = with.register(name, buf)
        end
        for _, st in ipairs { 0, 0x42, 0x100, 0x1234, 0xffff } do
          local name = ("extended tag %d, %s"):format(st, ph)
          local buf <close> = with.export()
          local ok = pcall(buf.set_tph, buf, { st_ext = st, ph = ph })
          with.answer:value(name .. ", set", ok)
          local _mr <close> = with.register(name, buf)
        end
        local name = "both tags, " .. ph
        local buf <close> = with.export()
        with.answer:value(name .. ", set", (pcall(buf.set_tph, buf, { st = 0x11, st_ext = 0x2222, ph = ph })))
        local _mr <close> = with.register(name, buf)
      end
    end) },

    { "when it is asked", exporting(function(with)
      local buf <close> = with.export()
      local _before <close> = with.register("before", buf)
      with.answer("set", buf.set_tph, buf, { st = 0x21, ph = "target" })
      local one <close> = with.register("one", buf)
      local _two <close> = with.register("two of it", buf, { offset = PAGE })
      with.answer("set another", buf.set_tph, buf, { st = 0x22, ph = "requester" })
      local _three <close> = with.register("three", buf)
      local tph = one:tph()
      with.answer:value("one keeps its own", { index = tph.st, ph = tph.ph })
      with.answer("reset", with.dev.reset, with.dev)
      local _four <close> = with.register("after a reset", buf)
      with.answer("close one", one.close, one)
      local _five <close> = with.register("after one is closed", buf)
      with.dev:store(vfio.CONFIG, 4, 2, 0)
      with.register("revoked", buf)
      with.dev:store(vfio.CONFIG, 4, 2, 2)
      local _six <close> = with.register("no longer revoked", buf)
    end) },

    { "a handle beside it", exporting(function(with)
      local buf <close> = with.export()
      local dmah <close> = with.context:alloc_dmah { ph = "requester" }
      local tagged <close> = with.context:alloc_dmah { ph = "requester", cpu_id = 1, tph_mem_type = "volatile" }
      local _one <close> = with.register("a handle alone", buf, { dmah = dmah })
      local _two <close> = with.register("a handle with a tag", buf, { dmah = tagged })
      with.answer("set", buf.set_tph, buf, { st = 0x31, ph = "target" })
      local _three <close> = with.register("both", buf, { dmah = dmah })
      local _four <close> = with.register("both, with a tag", buf, { dmah = tagged })
      local _five <close> = with.register("the exporter alone", buf)
      with.answer("close the handle", tagged.close, tagged)
    end) },

    { "two exporters' tags", exporting(function(with)
      local opened <close> = scope.open()
      for st = 1, 12 do
        local buf = opened:keep(with.export(1))
        with.answer("set " .. st, buf.set_tph, buf, { st = st % 5, ph = PH[st % 4 + 1] })
        opened:keep(with.register("tag " .. st, buf))
      end
    end) },
  },
}
