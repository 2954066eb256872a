-- What mlx5_ib answers to a registration of a VFIO BAR's dma-buf, and what becomes of a region whose exporter revokes.
local vfio, memory = require "vfio", require "memory"
local registering, queues, fixture, scope = require "registering", require "queues", require "fixture", require "scope"

local PAGE = 4096
local case, register = registering.case, registering.register
local LOCAL = { "local_write" }

local FLAGS = { "local_write", "remote_write", "remote_read", "remote_atomic", "relaxed_ordering" }

--- A case with `dev`, and `export { page, pages }, ...`.
local function exporting(body)
  return case(function(with)
    local exporter <close> = fixture.vfio(with.opt)
    with.dev = exporter.dev
    function with.export(...)
      return exporter:export(...)
    end
    body(with)
  end)
end

--- A connection to itself whose peer may reach `mr`; `tries(name)` writes and reads, and records how that ended, each time on a
--- new connection.
local function reaching(with, mr)
  return function(name)
    for _, opcode in ipairs { "rdma_write", "rdma_read" } do
      local q = { context = with.context, pd = with.pd }
      local host <close> = memory.alloc(PAGE)
      local own <close> = with.pd:reg_mr { memory = host, access = queues.ALL }
      local cq <close> = with.context:create_cq(8)
      -- Closed before what its queue pairs use.
      local made <close> = scope.open()
      q.cq, q.recv_cq, q.made = cq, cq, made
      local a = queues.pair(q, "rc")
      a:post_send { opcode = opcode, mr = own, length = 64, remote_addr = mr:addr(), rkey = mr:rkey(), wr_id = 1 }
      queues.ends(with.answer, name .. ", " .. opcode, cq, 1)
    end
  end
end

--- What happens to the region of a dma-buf in between.
local function revoked(change)
  return exporting(function(with)
    local buf <close> = with.export { 0, 4 }
    local mr <close> = register(with, "register", with.pd.reg_dmabuf_mr,
      { dmabuf = buf, length = 4 * PAGE, access = queues.ALL }, true)
    local tries = reaching(with, mr)
    tries "at first"
    change(with, buf, tries, mr)
    local _again <close> = with.answer("register again", with.pd.reg_dmabuf_mr, with.pd,
      { dmabuf = buf, length = PAGE, access = LOCAL })
    with.answer("close the region", mr.close, mr)
  end)
end

return {
  name = "conformance-mlx5-dmabuf",
  about = "registration of dma-bufs by mlx5, and their revocation",
  options = registering.options,
  cases = {
    { "access flags", exporting(function(with)
      local buf <close> = with.export { 0, 4 }
      for number = 0, (1 << #FLAGS) - 1 do
        local access = {}
        for i, flag in ipairs(FLAGS) do
          if number >> (i - 1) & 1 == 1 then
            access[#access + 1] = flag
          end
        end
        register(with, registering.name(access), with.pd.reg_dmabuf_mr, { dmabuf = buf, length = PAGE, access = access })
      end
      for _, flag in ipairs { "mw_bind", "zero_based", "on_demand", "hugetlb" } do
        register(with, flag, with.pd.reg_dmabuf_mr, { dmabuf = buf, length = PAGE, access = { flag } })
        register(with, "local_write|" .. flag, with.pd.reg_dmabuf_mr,
          { dmabuf = buf, length = PAGE, access = { "local_write", flag } })
      end
    end) },

    { "offsets, lengths and addresses", exporting(function(with)
      local buf <close> = with.export { 0, 16 }
      for _, row in ipairs {
        { 0, 1 }, { 0, PAGE }, { 0, 16 * PAGE }, { 0, 16 * PAGE + 1 }, { 0, 17 * PAGE }, { PAGE, PAGE },
        { PAGE, 15 * PAGE }, { PAGE, 16 * PAGE }, { 15 * PAGE, PAGE }, { 16 * PAGE, PAGE }, { 16 * PAGE, 1 },
        { 1, 1 }, { 1, PAGE }, { 4095, 1 }, { 100, 5000 }, { 0, 0 }, { PAGE, 0 }, { 17 * PAGE, PAGE },
        { 0, PAGE, PAGE }, { 0, PAGE, 0x7fff000 }, { 0, PAGE, 1 }, { 1, PAGE, 1 }, { 1, PAGE, PAGE + 1 }, { 1, PAGE, 0 },
        { 100, 200, 5 * PAGE + 100 }, { 0, PAGE, -PAGE }, { 0, 2 * PAGE, -PAGE }, { 0, PAGE, 1 << 62 },
        { 2 * PAGE, 3 * PAGE, 7 * PAGE }, { 0, 16 * PAGE, 0x10000000 }, { 0, 5 * PAGE, PAGE }, { 3 * PAGE, 8 * PAGE, PAGE },
      } do
        register(with, ("%d bytes from %d%s"):format(row[2], row[1], row[3] and (" at %d"):format(row[3]) or ""),
          with.pd.reg_dmabuf_mr, { dmabuf = buf, offset = row[1], length = row[2], iova = row[3], access = LOCAL })
      end
    end) },

    { "ranges of the BAR", exporting(function(with)
      for _, row in ipairs { { 0, 1 }, { 1, 1 }, { 3, 5 }, { 0, 255 }, { 0, 256 }, { 128, 128 } } do
        local buf <close> = with.export(row)
        register(with, ("%d pages from %d"):format(row[2], row[1]), with.pd.reg_dmabuf_mr,
          { dmabuf = buf, length = row[2] * PAGE, access = LOCAL })
      end
      local two <close> = with.export({ 0, 1 }, { 4, 1 })
      register(with, "two ranges", with.pd.reg_dmabuf_mr, { dmabuf = two, length = 2 * PAGE, access = LOCAL })
      register(with, "one of two ranges", with.pd.reg_dmabuf_mr, { dmabuf = two, length = PAGE, access = LOCAL })
      local whole <close> = with.export { 0, 8 }
      local over <close> = with.export { 4, 8 }
      local one <close> = register(with, "one", with.pd.reg_dmabuf_mr, { dmabuf = whole, length = 8 * PAGE }, true)
      local _other <close> = register(with, "one that overlaps", with.pd.reg_dmabuf_mr, { dmabuf = over, length = 8 * PAGE }, true)
      local _same <close> = register(with, "the same twice", with.pd.reg_dmabuf_mr, { dmabuf = whole, length = 8 * PAGE }, true)
      with.answer:value("references", whole:info().count)
      with.answer("close the dma-buf", whole.close, whole)
      with.answer("close one", one.close, one)
    end) },

    { "reset", revoked(function(with, _, tries)
      with.answer("reset", with.dev.reset, with.dev)
      tries "after a reset"
      with.answer("reset", with.dev.reset, with.dev)
      with.answer("reset", with.dev.reset, with.dev)
      tries "after two more"
    end) },

    { "memory decoding off", revoked(function(with, buf, tries)
      with.dev:store(vfio.CONFIG, 4, 2, 0)
      tries "without decoding"
      register(with, "a second region", with.pd.reg_dmabuf_mr, { dmabuf = buf, length = PAGE, access = LOCAL })
      local born <close> = with.export { 8, 1 }
      register(with, "of one exported meanwhile", with.pd.reg_dmabuf_mr, { dmabuf = born, length = PAGE, access = LOCAL })
      with.dev:store(vfio.CONFIG, 4, 2, 2)
      register(with, "the same, with decoding", with.pd.reg_dmabuf_mr, { dmabuf = born, length = PAGE, access = LOCAL })
      tries "with decoding"
    end) },

    { "the device is closed", revoked(function(with, _, tries)
      with.answer("close", with.dev.close, with.dev)
      tries "without the device"
    end) },

    { "the descriptor is closed", exporting(function(with)
      local buf = with.export { 0, 4 }
      local mr <close> = register(with, "register", with.pd.reg_dmabuf_mr,
        { dmabuf = buf, length = 4 * PAGE, access = queues.ALL }, true)
      local tries = reaching(with, mr)
      with.answer("close", buf.close, buf)
      tries "without it"
      with.answer("reset", with.dev.reset, with.dev)
      tries "after a reset"
    end) },
  },
}
