-- DMA handles of mlx5: what may be asked for, who holds them, and the pools that keys come from.
local vfio = require "vfio"
local registering, steering, scope = require "registering", require "steering", require "scope"

local PAGE = 4096
local case = registering.case
local PH = { "bidirectional", "requester", "target", "target-priority" }

--- Which hint a region's key has: the tag that the NIC's table holds for it.
local function hint(with, name, mr)
  local tph = mr:tph()
  local tag = tph.enabled and steering.tag(with.opt.nic, tph.st) or nil
  with.answer:value(name .. ", the key's hint", { enabled = tph.enabled, index = tph.st, ph = tph.ph, tag = tag })
end

return {
  name = "conformance-mlx5-handles",
  about = "DMA handles of mlx5, and pools of keys",
  options = registering.options,
  cases = {
    { "what may be asked for", case(function(with)
      local function ask(name, attributes)
        local _dmah <close> = with.answer(name, with.context.alloc_dmah, with.context, attributes)
      end
      for _, ph in ipairs(PH) do
        ask(ph, { ph = ph })
        for _, kind in ipairs { "volatile", "persistent" } do
          for _, cpu in ipairs { 0, 1, 2, 7, 255, 0xffffffff } do
            ask(("%s, %s, cpu %d"):format(ph, kind, cpu), { ph = ph, tph_mem_type = kind, cpu_id = cpu })
          end
        end
        ask(ph .. ", a cpu alone", { ph = ph, cpu_id = 0 })
        ask(ph .. ", memory alone", { ph = ph, tph_mem_type = "volatile" })
      end
      ask("nothing", {})
      ask("a cpu alone", { cpu_id = 0 })
      ask("a cpu and memory", { cpu_id = 0, tph_mem_type = "volatile" })
    end) },

    { "regions of a handle", case(function(with)
      local answer = with.answer
      local dev <close> = vfio.open(with.opt.exporter)
      local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 4 * PAGE } } }
      for _, ph in ipairs(PH) do
        for _, cpu in ipairs { -1, 0, 1 } do
          for _, kind in ipairs(cpu >= 0 and { "volatile", "persistent" } or { "none" }) do
            local name = ("%s, cpu %d, %s"):format(ph, cpu, kind)
            local dmah <close> = answer(name, with.context.alloc_dmah, with.context,
              cpu >= 0 and { ph = ph, cpu_id = cpu, tph_mem_type = kind } or { ph = ph })
            if dmah then
              local mr = answer(name .. ", register", with.pd.reg_mr_ex, with.pd,
                { dmabuf = buf, length = PAGE, access = { "local_write" }, dmah = dmah })
              if mr then
                hint(with, name, mr)
                answer(name .. ", close the handle", dmah.close, dmah)
                answer(name .. ", close the region", mr.close, mr)
              end
              answer(name .. ", then the handle", dmah.close, dmah)
            end
          end
        end
      end
      local plain <close> = answer("without a handle", with.pd.reg_mr_ex, with.pd,
        { dmabuf = buf, length = PAGE, access = { "local_write" } })
      hint(with, "without a handle", plain)
    end) },

    { "two regions, two handles", case(function(with)
      local answer = with.answer
      local dev <close> = vfio.open(with.opt.exporter)
      local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 4 * PAGE } } }
      local asked = { ph = "target", cpu_id = 0, tph_mem_type = "volatile" }
      local one <close> = answer("one", with.context.alloc_dmah, with.context, asked)
      local two <close> = answer("two alike", with.context.alloc_dmah, with.context, asked)
      local function reg(name, dmah, request)
        local all = { dmabuf = buf, length = PAGE, access = { "local_write" }, dmah = dmah }
        for key, value in pairs(request or {}) do
          all[key] = value
        end
        return answer(name, with.pd.reg_mr_ex, with.pd, all)
      end
      local a <close> = reg("a of one", one)
      local b <close> = reg("b of one", one)
      local c <close> = reg("c of two", two)
      hint(with, "a", a)
      hint(with, "c", c)
      answer("close one", one.close, one)
      answer("close a", a.close, a)
      answer("close one with b", one.close, one)
      answer("close b", b.close, b)
      answer("close one without", one.close, one)
      hint(with, "c then", c)
      reg("with remote write alone", two, { access = { "remote_write" } })
      reg("past the end", two, { length = 5 * PAGE })
      reg("on demand", two, { access = { "on_demand" } })
      local second <close> = with.context:alloc_pd()
      local _elsewhere <close> = answer("in another domain", second.reg_mr_ex, second,
        { dmabuf = buf, length = PAGE, access = { "local_write" }, dmah = two })
      answer("close two", two.close, two)
      answer("close the domain", second.close, second)
    end) },

    { "the table of tags", case(function(with)
      local opened <close> = scope.open()
      for i = 1, 8 do
        for _, kind in ipairs { "volatile", "persistent" } do
          local dmah = with.answer(("handle %d, %s"):format(i, kind), with.context.alloc_dmah, with.context,
            { ph = PH[i % 4 + 1], cpu_id = i % 2, tph_mem_type = kind })
          opened:keep(dmah)
        end
      end
    end) },

    { "pools", case(function(with)
      local answer = with.answer
      answer("pools", function() return #with.context:frmr_pools() > 0 end)
      local dmah <close> = with.context:alloc_dmah { ph = "target", cpu_id = 1, tph_mem_type = "volatile" }
      local dev <close> = vfio.open(with.opt.exporter)
      local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 16 * PAGE } } }
      local function of(kernel_key)
        for _, pool in ipairs(with.context:frmr_pools()) do
          if pool.kernel_vendor_key == kernel_key then
            return { in_use = pool.in_use, most = pool.max_in_use, waiting = pool.queue_handles, blocks = pool.num_dma_blocks,
              access = pool.access_flags, ats = pool.ats, st = pool.st, ph = pool.ph, pinned = pool.pinned_handles }
          end
        end
        return "none"
      end
      local function reg()
        return with.pd:reg_mr_ex { dmabuf = buf, length = PAGE, access = { "local_write" }, dmah = dmah }
      end
      local one = reg()
      local key = nil
      for _, pool in ipairs(with.context:frmr_pools()) do
        if pool.ph == "target" and pool.in_use > 0 then key = pool.kernel_vendor_key end
      end
      answer:value("the pool's key", key)
      answer:value("one", of(key))
      local two = reg()
      answer:value("two", of(key))
      one:close()
      answer:value("one again", of(key))
      two:close()
      answer:value("none", of(key))
      local _three <close> = reg()
      answer:value("one of those that waited", of(key))
    end) },
  },
}
