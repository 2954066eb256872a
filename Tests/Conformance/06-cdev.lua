-- The character device: what it answers before it is bound, BIND, ATTACH and DETACH misused, who excludes whom.
local vfio, iommufd, memory, sys, answers =
  require "vfio", require "iommufd", require "memory", require "sys", require "answers"

local BIND, ATTACH, DETACH = "VFIO_DEVICE_BIND_IOMMUFD", "VFIO_DEVICE_ATTACH_IOMMUFD_PT", "VFIO_DEVICE_DETACH_IOMMUFD_PT"

local function bind(fd, how)
  how = how or {}
  return string.pack("<I4I4i4I4I8", how.argsz or 24, how.flags or 0, fd, 0, how.token or 0)
end
local function attach(id, how)
  how = how or {}
  return string.pack("<I4I4I4I4", how.argsz or 16, how.flags or 0, id, how.pasid or 0)
end
local function detach(how)
  how = how or {}
  return string.pack("<I4I4I4", how.argsz or 12, how.flags or 0, how.pasid or 0)
end

--- The character device and the group of a function.
local function paths(address)
  for _, found in ipairs(vfio.devices()) do
    if found.address == address then
      return "/dev/vfio/devices/" .. found.cdev, "/dev/vfio/" .. found.group
    end
  end
end

--- Hands over a recorder, the open but unbound character device, an iommufd.
local function with_unbound(body)
  return function(t, opt)
    local cdev, group = paths(opt.exporter)
    local file <close> = sys.open(cdev)
    local context <close> = iommufd.open()
    body(answers.new(t), file:fd(), context, cdev, group)
  end
end

local requests = {
  "VFIO_DEVICE_GET_INFO", "VFIO_DEVICE_GET_REGION_INFO", "VFIO_DEVICE_GET_IRQ_INFO", "VFIO_DEVICE_RESET",
  "VFIO_DEVICE_FEATURE", ATTACH, DETACH, 0x3b6e, 0x3b70, 0x3b71, 0x3b74,
}

return {
  name = "conformance-cdev",
  about = "the VFIO character device: unbound, BIND, ATTACH and DETACH misused, exclusion",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device that is bound" },
    engine = { type = "pci", default = "auto", id = "1234:11e8", about = "another device" },
  },
  needs = { "iommufd" },
  cases = {
    { "unbound", with_unbound(function(answer, fd)
      for _, request in ipairs(requests) do
        answer:ioctl(request, fd, request, ("\32\0\0\0"):rep(8))
        answer:ioctl(request .. ", no bytes", fd, request, "")
      end
      answer:ioctl("VFIO_GET_API_VERSION", fd, "VFIO_GET_API_VERSION", "")
      answer:ioctl("an unknown request", fd, 0x3bff, "")
      answer:ioctl("a request of dma-buf", fd, 0x40086200, ("\1"):rep(8))
      answer("read", sys.read, fd, 4, 7 << 40)
      answer("read nothing", sys.read, fd, 0, 7 << 40)
      answer("write", sys.write, fd, "\0\0\0\0", 7 << 40)
      answer("mmap", sys.mmap, fd, { length = 4096, offset = 2 << 40 })
      answer("lseek", sys.seek, fd, 0, 0)
      answer("poll", sys.poll, fd, 5)
    end) },

    { "bind misused", with_unbound(function(answer, fd, context)
      local theirs = context:fd()
      answer:ioctl("no bytes", fd, BIND, "")
      answer:ioctl("3 bytes", fd, BIND, "\24\0\0")
      answer("NULL", sys.ioctl, fd, BIND, 0)
      for _, argsz in ipairs { 0, 8, 12, 15 } do
        answer:ioctl("argsz " .. argsz, fd, BIND, bind(theirs, { argsz = argsz }))
      end
      answer:ioctl("argsz 24, 16 bytes", fd, BIND, bind(theirs):sub(1, 16))
      answer:ioctl("argsz 32, tail 1", fd, BIND, bind(theirs, { argsz = 32 }) .. "\1\0\0\0\0\0\0\0")
      answer:ioctl("argsz 32, no tail", fd, BIND, bind(theirs, { argsz = 32 }))
      answer:ioctl("iommufd -1", fd, BIND, bind(-1))
      answer:ioctl("flag 2", fd, BIND, bind(theirs, { flags = 2 }))
      answer:ioctl("flag 2^31", fd, BIND, bind(theirs, { flags = 1 << 31 }))
      answer:ioctl("iommufd -1 and flag 2", fd, BIND, bind(-1, { flags = 2 }))
      answer:ioctl("a closed descriptor", fd, BIND, bind(999))
      answer:ioctl("itself", fd, BIND, bind(fd))
      local event <close> = sys.eventfd()
      answer:ioctl("an eventfd", fd, BIND, bind(event:fd()))
      local container <close> = sys.open("/dev/vfio/vfio")
      answer:ioctl("a container", fd, BIND, bind(container:fd()))
      answer:ioctl("token at NULL", fd, BIND, bind(theirs, { flags = 1 }))
      answer:ioctl("token at address 1", fd, BIND, bind(theirs, { flags = 1, token = 1 }))
      local token <close> = memory.alloc(4096)
      answer:ioctl("a token", fd, BIND, bind(theirs, { flags = 1, token = token:addr() }))
      answer:ioctl("a token, argsz 16", fd, BIND, bind(theirs, { flags = 1, argsz = 16 }))
      answer:ioctl("token without flag", fd, BIND, bind(theirs, { token = 1 }))
      answer:ioctl("then again", fd, BIND, bind(theirs))
      answer:ioctl("again, a closed descriptor", fd, BIND, bind(999))
      answer:ioctl("again, iommufd -1", fd, BIND, bind(-1))
      answer:ioctl("again, argsz 15", fd, BIND, bind(theirs, { argsz = 15 }))
    end) },

    { "bind of 16 bytes", with_unbound(function(answer, fd, context)
      answer:ioctl("argsz 16", fd, BIND, bind(context:fd(), { argsz = 16 }):sub(1, 16))
      answer:ioctl("info", fd, "VFIO_DEVICE_GET_INFO", string.pack("<I4I4I4I4", 16, 0, 0, 0), "<I4I4I4I4")
    end) },

    { "bind with a zero tail", with_unbound(function(answer, fd, context)
      answer:ioctl("argsz 32", fd, BIND, bind(context:fd(), { argsz = 32 }) .. ("\0"):rep(8))
    end) },

    { "who excludes whom", with_unbound(function(answer, fd, context, cdev, group)
      local second <close> = answer("a second open", sys.open, cdev)
      local open_group <close> = answer("the group, device unbound", sys.open, group)
      answer:ioctl("bind, group open", fd, BIND, bind(context:fd()))
      open_group:close()
      answer:ioctl("bind, group closed", fd, BIND, bind(context:fd()))
      answer("the group, device bound", sys.open, group)
      answer:ioctl("bind of the second", second:fd(), BIND, bind(context:fd()))
      local other <close> = iommufd.open()
      answer:ioctl("bind of the second to another", second:fd(), BIND, bind(other:fd()))
      answer:ioctl("info of the second", second:fd(), "VFIO_DEVICE_GET_INFO", string.pack("<I4I4I4I4", 16, 0, 0, 0))
      answer("open of nothing", sys.open, "/dev/vfio/devices/vfio99")
    end) },

    { "open modes", function(t, opt)
      local answer = answers.new(t)
      local cdev, group = paths(opt.exporter)
      for _, path in ipairs { cdev, group, "/dev/vfio/vfio", "/dev/iommu" } do
        for mode = 0, 2 do
          local name = ("%s, mode %d"):format(path:gsub("%d+$", "N"), mode)
          local file <close> = answer(name, sys.open, path, mode)
          if file then
            answer(name .. ", F_GETFL", sys.fcntl, file:fd(), 3)
            answer(name .. ", read", sys.read, file:fd(), 4)
            answer(name .. ", write", sys.write, file:fd(), "1234")
          end
        end
      end
      answer("the folder", sys.open, "/dev/vfio", 2)
      answer("a path below a device", sys.open, cdev .. "/x")
    end },

    { "bound to read only", function(t, opt)
      local answer = answers.new(t)
      local cdev = paths(opt.exporter)
      local file <close> = sys.open(cdev, 0)
      local context <close> = iommufd.open()
      answer:ioctl("bind", file:fd(), BIND, bind(context:fd()))
      answer("read", sys.read, file:fd(), 4, 7 << 40)
      answer("write", sys.write, file:fd(), "\0\0\0\0", 7 << 40)
      answer("mmap to read", sys.mmap, file:fd(), { length = 4096, offset = 2 << 40, prot = 1 })
      answer("mmap to write", sys.mmap, file:fd(), { length = 4096, offset = 2 << 40 })
      answer:ioctl("reset", file:fd(), "VFIO_DEVICE_RESET", "")
    end },

    { "iommufd closed while bound", with_unbound(function(answer, fd, context)
      answer:ioctl("bind", fd, BIND, bind(context:fd()))
      context:close()
      answer:ioctl("attach", fd, ATTACH, attach(1))
      answer:ioctl("detach", fd, DETACH, detach())
      answer("read", sys.read, fd, 4, 7 << 40)
    end) },

    { "attach and detach misused", function(t, opt)
      local answer = answers.new(t)
      local context <close> = iommufd.open()
      local dev <close> = vfio.open(opt.exporter, { iommufd = context })
      local fd = dev:fd()
      local ioas <close> = context:alloc_ioas()
      local id = ioas:id()
      answer:ioctl("attach, no bytes", fd, ATTACH, "")
      for _, argsz in ipairs { 0, 8, 11 } do
        answer:ioctl("attach, argsz " .. argsz, fd, ATTACH, attach(id, { argsz = argsz }))
      end
      answer:ioctl("attach, argsz 12, 8 bytes", fd, ATTACH, attach(id, { argsz = 12 }):sub(1, 8))
      answer:ioctl("attach, flag 2", fd, ATTACH, attach(id, { flags = 2 }))
      answer:ioctl("attach, PASID, argsz 12", fd, ATTACH, attach(id, { flags = 1, argsz = 12 }))
      answer:ioctl("attach, PASID", fd, ATTACH, attach(id, { flags = 1, pasid = 1 }))
      answer:ioctl("attach, PASID 0", fd, ATTACH, attach(id, { flags = 1 }))
      answer:ioctl("attach, no such id", fd, ATTACH, attach(1000))
      answer:ioctl("attach, id 0", fd, ATTACH, attach(0))
      answer:ioctl("attach, id 2^32 - 1", fd, ATTACH, attach(0xffffffff))
      answer:ioctl("attach to the device's own id", fd, ATTACH, attach(1))
      answer:ioctl("detach, no bytes", fd, DETACH, "")
      for _, argsz in ipairs { 0, 4, 7 } do
        answer:ioctl("detach, argsz " .. argsz, fd, DETACH, detach { argsz = argsz })
      end
      answer:ioctl("detach, flag 2", fd, DETACH, detach { flags = 2 })
      answer:ioctl("detach, PASID, argsz 8", fd, DETACH, detach { flags = 1, argsz = 8 })
      answer:ioctl("detach, PASID", fd, DETACH, detach { flags = 1, pasid = 1 })
      answer:ioctl("attach, PASID 0, again", fd, ATTACH, attach(id, { flags = 1 }))
      answer:ioctl("detach without PASID", fd, DETACH, detach())
      answer("destroy", ioas.close, ioas)
      answer:ioctl("detach, PASID 0", fd, DETACH, detach { flags = 1 })
      answer:ioctl("detach, PASID 0, again", fd, DETACH, detach { flags = 1 })
      answer:ioctl("detach without attach", fd, DETACH, detach())
      answer:ioctl("detach, argsz 8", fd, DETACH, detach({ argsz = 8 }):sub(1, 8))
    end },

    { "attach", function(t, opt)
      local answer = answers.new(t)
      local context <close> = iommufd.open()
      local dev <close> = vfio.open(opt.exporter, { iommufd = context })
      local fd = dev:fd()
      local ioas <close> = context:alloc_ioas()
      local other <close> = context:alloc_ioas()
      local function try(name, id)
        local data = answer:ioctl(name, fd, ATTACH, attach(id, { argsz = 12 }):sub(1, 12))
        return data and string.unpack("<I4", data, 9)
      end
      local first = try("attach", ioas:id())
      answer:value("another id comes back", first ~= ioas:id())
      answer:value("the same again", try("attach again", ioas:id()) == first)
      answer:value("the page table's id", try("attach to the page table", first) == first)
      local second = try("attach to another", other:id())
      answer:value("another page table", second ~= first)
      answer:value("the first page table is gone", try("attach to the first page table", first) == nil)
      answer("destroy of what is left", ioas.close, ioas)
      answer:ioctl("detach", fd, DETACH, detach())
      answer:value("the second page table is gone", try("attach to the second page table", second) == nil)
      answer:ioctl("detach again", fd, DETACH, detach())
      answer("destroy of the other", other.close, other)
    end },

    { "two devices, one address space", function(t, opt)
      local answer = answers.new(t)
      local context <close> = iommufd.open()
      local dev <close> = vfio.open(opt.exporter, { iommufd = context })
      local engine <close> = vfio.open(opt.engine, { iommufd = context })
      local ioas <close> = context:alloc_ioas()
      local one = answer("attach", function() return dev:attach(ioas) ~= 0 end) and dev:attach(ioas)
      answer:value("they share the page table", engine:attach(ioas) == one)
      answer("destroy while both are there", ioas.close, ioas)
      dev:detach()
      answer("destroy while one is there", ioas.close, ioas)
      engine:detach()
    end },

    { "attach to what is mapped badly", function(t, opt)
      local answer = answers.new(t)
      local context <close> = iommufd.open()
      local dev <close> = vfio.open(opt.exporter, { iommufd = context })
      local host <close> = memory.alloc(4096)
      local bar <close> = dev:mmap(2, { length = 4096 })
      local function try(name, what)
        local ioas <close> = context:alloc_ioas()
        ioas:map(what)
        if answer(name, function() return dev:attach(ioas) ~= 0 end) then
          dev:detach()
        end
        answer(name .. ", then unmap", ioas.unmap, ioas, what.iova, what.length or 4096)
      end
      try("good", { memory = host, iova = 0x10000 })
      try("in the interrupt window", { memory = host, iova = 0xfee00000 })
      try("beyond the aperture", { memory = host, iova = 1 << 52 })
      try("unaligned", { memory = host, length = 16, iova = 0x10010 })
      try("a BAR", { memory = bar, iova = 0x10000 })
      local ioas <close> = context:alloc_ioas()
      ioas:map { memory = host, iova = 0x10000 }
      host:close()
      answer("memory that is gone", function() return dev:attach(ioas) ~= 0 end)
    end },
  },
}
