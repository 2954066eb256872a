-- What each call answers when the kernel runs out of memory in the middle of it: everything that can fail on its way fails
-- in turn, by the kernel's own fault injection. Each failure must be reported as one, and leave nothing behind.
local vfio, iommufd, type1 = require "vfio", require "iommufd", require "type1"
local memory, rdma, sys = require "memory", require "rdma", require "sys"
local expect, faults, scope = require "expect", require "kernel_faults", require "scope"

local PAGE, F_DUPFD = 4096, 0

--- The lowest free descriptor: it goes up where a call leaves one behind.
local function lowest_free(fd)
  local copy = sys.fcntl(fd, F_DUPFD, 0)
  sys.adopt(copy.result):close()
  return copy.result
end

--- What Linux 7.3 warns of where memory runs out while a device is given back to its driver: it cannot attach the domain that it
--- had before (drivers/iommu/iommu.c, __iommu_release_dma_ownership: WARN_ON(ret)), and goes on without.
local RELEASE = "__iommu_release_dma_ownership"

--- A case: `prepare(opt, keep, t)` gives the function that is disturbed, which undoes what it does; `keep` closes objects at
--- the case's end.
local function case(prepare)
  return function(t, opt)
    local reason = faults.missing("failslab")
    if reason then
      t:skip(reason)
    end
    local kept <close> = scope.open()
    local fn = prepare(opt, function(object)
      return kept:keep(object)
    end, t)
    local null <close> = sys.open("/dev/null")
    fn() -- what is allocated once, lazily, is there now
    local free = lowest_free(null:fd())
    local counts, names = {}, {}
    local total = faults.each(function(n, ok, err)
      local name = ok and "no error" or type(err) == "table" and err.kind == "kernel" and err.name
      expect.truthy(name, ("failure %d is an error of the kernel, not %s"):format(n, tostring(err)))
      expect.truthy(ok or err.operation and err.object, "the error names call and object: " .. tostring(err))
      if not counts[name] then
        names[#names + 1], counts[name] = name, 0
      end
      counts[name] = counts[name] + 1
      expect.equal(lowest_free(null:fd()), free, ("lowest free descriptor after failure %d (%s)"):format(n, name))
    end, fn)
    expect.truthy(total > 0, "something on the way can fail")
    for i, name in ipairs(names) do
      names[i] = ("%d %s"):format(counts[name], name)
    end
    t:log(("%d failures: %s"):format(total, table.concat(names, ", ")))
  end
end

local function bound(opt, keep)
  return keep(vfio.open(opt.exporter, { iommufd = keep(iommufd.open()) }))
end

--- The device attached to an I/O address space. What is attached is closed before what it is attached to.
local function attached(opt, keep)
  local context = keep(iommufd.open())
  local ioas = keep(context:alloc_ioas())
  local dev = keep(vfio.open(opt.exporter, { iommufd = context }))
  dev:attach(ioas)
  return dev, ioas
end

--- Undoes something, once more where that failed, and then raises the failure. ENOENT is fine the second time: the kernel
--- can do what it is asked for and fail to say so.
local function undo(fn, ...)
  local ok, err = pcall(fn, ...)
  if not ok then
    local again, why = pcall(fn, ...)
    if not again and why.name ~= "ENOENT" then
      error(why, 0)
    end
    error(err, 0)
  end
end

--- The object, to be closed with `undo` at the block's end.
local function closing(object)
  return setmetatable({}, {
    __index = function(_, key)
      return function(_, ...)
        return object[key](object, ...)
      end
    end,
    __close = function()
      undo(object.close, object)
    end,
  }), object
end

local function exported(dev, opt)
  return dev:export_dmabuf { region_index = opt.region, ranges = { { offset = 0, length = PAGE } } }
end

return {
  name = "kernel-faults",
  about = "every call fails cleanly when the kernel runs out of memory in the middle of it",
  tags = { "faults", "slow" },
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device whose BAR is exported" },
    nic = { type = "rdma", default = "auto", about = "RDMA device" },
    region = { type = "integer", default = 2, min = 0, max = 5, about = "a memory BAR" },
  },
  effects = { "open", "region_write", "config_write", "reset", "dma", "raw" },
  needs = { "vfio.dma_buf", "iommufd", "rdma" },
  cases = {
    { "a call that a signal cut short", function(t, opt)
      local reason = faults.missing("fail_function")
      if reason then
        t:skip(reason)
      end
      local dev <close> = vfio.open(opt.exporter)
      local ok, err = faults.fail_function("__x64_sys_ioctl", 4, dev.info, 1, dev)
      expect.truthy(not ok, "the call fails")
      expect.equal(err.name, "EINTR", "errno")
      expect.equal(err.operation, "VFIO_DEVICE_GET_INFO", "operation")
      dev:info()
    end },
    { "open and bind", case(function(opt, keep, t)
      t:expect_kernel_log(RELEASE)
      local context = keep(iommufd.open())
      return function()
        local _dev <close> = vfio.open(opt.exporter, { iommufd = context })
      end
    end) },
    { "open through the group", case(function(opt, _, t)
      t:expect_kernel_log(RELEASE)
      return function()
        local container <close> = type1.open()
        local _dev <close> = vfio.open(opt.exporter, { container = container })
      end
    end) },
    { "export", case(function(opt, keep)
      local dev = bound(opt, keep)
      return function()
        local _buf <close> = exported(dev, opt)
      end
    end) },
    { "device and region information", case(function(opt, keep)
      local dev = bound(opt, keep)
      return function()
        dev:info()
        dev:region_info(opt.region)
      end
    end) },
    { "attach", case(function(opt, keep)
      local dev, ioas = attached(opt, keep)
      return function()
        dev:attach(ioas)
        dev:detach()
      end
    end) },
    { "map a dma-buf", case(function(opt, keep)
      local dev, ioas = attached(opt, keep)
      local buf = keep(exported(dev, opt))
      return function()
        undo(ioas.unmap, ioas, ioas:map_file { dmabuf = buf, length = PAGE }, PAGE)
      end
    end) },
    { "map host memory", case(function(opt, keep)
      local _, ioas = attached(opt, keep)
      local host = keep(memory.alloc(16 * PAGE))
      return function()
        undo(ioas.unmap, ioas, ioas:map { memory = host }, 16 * PAGE)
      end
    end) },
    { "map host memory, type 1", case(function(opt, keep)
      local container = keep(type1.open())
      keep(vfio.open(opt.exporter, { container = container }))
      local host = keep(memory.alloc(16 * PAGE))
      return function()
        container:map { memory = host, iova = 0x100000 }
        undo(container.unmap, container, 0x100000, 16 * PAGE)
      end
    end) },
    { "name a dma-buf", case(function(opt, keep)
      local buf = keep(exported(bound(opt, keep), opt))
      return function()
        buf:set_name("a name")
      end
    end) },
    { "open an RDMA device", case(function(opt)
      return function()
        local context <close> = closing(rdma.open(opt.nic))
        context:query_port()
      end
    end) },
    { "protection domain and memory region", case(function(opt, keep)
      local context = keep(rdma.open(opt.nic))
      local host = keep(memory.alloc(16 * PAGE))
      return function()
        local pd <close> = closing(context:alloc_pd())
        local _mr <close> = closing(pd:reg_mr { memory = host, access = { "local_write" } })
      end
    end) },
    { "queues", case(function(opt, keep)
      local context = keep(rdma.open(opt.nic))
      local pd = keep(context:alloc_pd())
      return function()
        local _cq <close>, cq = closing(context:create_cq(16))
        local qp <close> = closing(pd:create_qp { send_cq = cq })
        qp:connect { to = qp:endpoint() }
      end
    end) },
  },
}
