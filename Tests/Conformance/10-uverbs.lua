-- What libibverbs and a software RDMA device (rxe) answer: devices, protection domains, memory regions, dma-bufs. DMA
-- handles are left out: there the answer is that of the installed libibverbs, which may be too old to ask.
local vfio, rdma, memory, answers = require "vfio", require "rdma", require "memory", require "answers"

local PAGE = 4096

--- Hands over a recorder, the context and a protection domain.
local function with_pd(body)
  return function(t, opt)
    local context <close> = rdma.open(opt.nic)
    local pd <close> = context:alloc_pd()
    body(answers.new(t), pd, context, opt)
  end
end

--- Records a registration and what the region says; closes it.
local function register(answer, name, fn, pd, request)
  local mr <close> = answer(name, fn, pd, request)
  if mr then
    answer:value(name .. ", length", mr:length())
    answer:value(name .. ", its keys are equal", mr:lkey() == mr:rkey())
    answer:value(name .. ", its key is 0", mr:lkey() == 0)
  end
end

local accesses = {
  {}, { "local_write" }, { "remote_read" }, { "remote_write" }, { "remote_atomic" }, { "mw_bind" },
  { "local_write", "remote_write" }, { "local_write", "remote_atomic" }, { "local_write", "remote_read", "remote_write" },
  { "local_write", "relaxed_ordering" }, { "relaxed_ordering" }, { "on_demand" }, { "zero_based" },
  { "local_write", "mw_bind" }, { "hugetlb" },
}

return {
  name = "conformance-uverbs",
  about = "verbs of a software RDMA device: protection domains, memory regions, dma-bufs",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device whose BAR is exported" },
    nic = { type = "rdma", default = "auto", about = "RDMA device" },
  },
  cases = {
    { "devices", function(t, opt)
      local answer = answers.new(t)
      answer("devices", function() return #rdma.devices() end)
      answer("a device that is not there", rdma.open, "nothing0")
      local context <close> = answer("open", rdma.open, opt.nic)
      local _second <close> = answer("open again", rdma.open, opt.nic)
      local port = context:query_port(1)
      answer:value("state", port.state)
      answer:value("link layer", port.link_layer)
      answer("port 2", context.query_port, context, 2)
      answer("port 255", context.query_port, context, 255)
      answer("query", function() return context:query_device() ~= nil end)
    end },

    { "protection domains", with_pd(function(answer, pd, context)
      local second <close> = answer("a second", context.alloc_pd, context)
      local host <close> = memory.alloc(PAGE)
      local mr <close> = answer("a region", pd.reg_mr, pd, { memory = host })
      answer("close with a region", pd.close, pd)
      mr:close()
      answer("close without", pd.close, pd)
      answer("close of the second", second.close, second)
    end) },

    { "access flags", with_pd(function(answer, pd)
      local host <close> = memory.alloc(2 * PAGE)
      for _, access in ipairs(accesses) do
        local name = #access == 0 and "none" or table.concat(access, "|")
        register(answer, name, pd.reg_mr, pd, { memory = host, access = access })
      end
    end) },

    { "ranges", with_pd(function(answer, pd)
      local host <close> = memory.alloc(4 * PAGE)
      register(answer, "whole", pd.reg_mr, pd, { memory = host })
      register(answer, "a byte", pd.reg_mr, pd, { memory = host, length = 1 })
      register(answer, "unaligned", pd.reg_mr, pd, { memory = host, offset = 100, length = 5000 })
      register(answer, "the same twice", pd.reg_mr, pd, { memory = host })
    end) },

    { "a BAR", with_pd(function(answer, pd, _, opt)
      local dev <close> = vfio.open(opt.exporter)
      local bar <close> = dev:mmap(2, { length = PAGE })
      register(answer, "to read", pd.reg_mr, pd, { memory = bar })
      register(answer, "to write", pd.reg_mr, pd, { memory = bar, access = { "local_write" } })
    end) },

    { "dma-bufs", with_pd(function(answer, pd, _, opt)
      local dev <close> = vfio.open(opt.exporter)
      local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 4 * PAGE } } }
      for _, access in ipairs(accesses) do
        local name = #access == 0 and "none" or table.concat(access, "|")
        register(answer, "reg_dmabuf_mr, " .. name, pd.reg_dmabuf_mr, pd, { dmabuf = buf, length = PAGE, access = access })
      end
      register(answer, "offset and iova differ", pd.reg_dmabuf_mr, pd, { dmabuf = buf, length = PAGE, iova = 1 })
      register(answer, "past the end", pd.reg_dmabuf_mr, pd, { dmabuf = buf, length = 5 * PAGE })
      dev:store(7, 4, 2, 0)
      register(answer, "revoked", pd.reg_dmabuf_mr, pd, { dmabuf = buf, length = PAGE })
      dev:store(7, 4, 2, 2)
      dev:close()
      register(answer, "device closed", pd.reg_dmabuf_mr, pd, { dmabuf = buf, length = PAGE })
    end) },
  },
}
