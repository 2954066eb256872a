--- What the iommufd cases of this folder work with, beside a recorder: a context, an address space, host memory, and a
--- bound device with its id there. All objects are plain ids, which go with the context.
local vfio, iommufd, memory, sys, answers =
  require "vfio", require "iommufd", require "memory", require "sys", require "answers"

local PAGE, MAX = 4096, -1

local spaces = {
  -- Layouts of what comes back: only the value of IOMMU_OPTION.
  VALUE = "<xxxxxxxxxxxxxxxxI8",
}

function spaces.option(id, op, object, value, reserved)
  return string.pack("<I4I4I2I2I4I8", 24, id, op, reserved or 0, object, value)
end

function spaces.table_of(device, target, how)
  how = how or {}
  return string.pack("<I4I4I4I4I4I4I4I4I8I4I4", 48, how.flags or 0, device, target, 0, how.reserved or 0, how.type or 0,
    how.length or 0, how.data or 0, how.fault or 0, 0)
end

function spaces.destroy(id)
  return string.pack("<I4I4", 8, id)
end

local With = {}
With.__index = With

--- Maps a page, or `length` bytes, where the kernel likes; records where unless that depends on the memory's address.
function With:anywhere(what, length)
  local bytes = string.pack("<I4I4I4I4I8I8I8", 40, 6, self.ioas, 0, self.va, length or PAGE, 0)
  local data = self.answer:ioctl(what, self.fd, "IOMMU_IOAS_MAP", bytes)
  if data and not length then
    self.answer:value(what .. ", where", string.unpack("<I8", data, 33))
  end
end

--- Maps a page at an IOVA; `how` may say another address and length.
function With:fixed(what, iova, how)
  how = how or {}
  self.answer:ioctl(what, self.fd, "IOMMU_IOAS_MAP", string.pack("<I4I4I4I4I8I8I8", 40, 7, self.ioas, 0,
    how.va or self.va, how.length or PAGE, iova))
end

function With:allow(what, ranges, how)
  how = how or {}
  local list <close> = memory.alloc(PAGE)
  for i, range in ipairs(ranges) do
    list:write(16 * (i - 1), string.pack("<I8I8", range[1], range[2]))
  end
  self.answer:ioctl(what, self.fd, "IOMMU_IOAS_ALLOW_IOVAS", string.pack("<I4I4I4I4I8", how.size or 24,
    how.ioas or self.ioas, how.count or #ranges, how.reserved or 0, how.address or list:addr()))
end

function With:ranges(what)
  local list <close> = memory.alloc(PAGE)
  local bytes = string.pack("<I4I4I4I4I8I8", 32, self.ioas, 16, 0, list:addr(), 0)
  local data = self.answer:ioctl(what, self.fd, "IOMMU_IOAS_IOVA_RANGES", bytes, "<xxxxxxxxI4xxxxxxxxxxxxI8")
  for i = 0, (data and string.unpack("<I4", data, 9) or 0) - 1 do
    self.answer:value(what .. ", range " .. i, list:read(16 * i, 16))
  end
end

--- Attaches the device to an id; returns the page table's.
function With:attach(what, target)
  local bytes = string.pack("<I4I4I4", 12, 0, target)
  local data = self.answer:ioctl(what, self.device:fd(), "VFIO_DEVICE_ATTACH_IOMMUFD_PT", bytes)
  return data and string.unpack("<I4", data, 9)
end

function With:detach(what)
  self.answer:ioctl(what, self.device:fd(), "VFIO_DEVICE_DETACH_IOMMUFD_PT", string.pack("<I4I4", 8, 0))
end

function With:unmap_all(what)
  self.answer:ioctl(what, self.fd, "IOMMU_IOAS_UNMAP", string.pack("<I4I4I8I8", 24, self.ioas, 0, MAX))
end

--- Makes a page table; returns its id.
function With:table(what, target, how)
  local data = self.answer:ioctl(what, self.fd, "IOMMU_HWPT_ALLOC", spaces.table_of(self.id, target, how))
  return data and string.unpack("<I4", data, 17)
end

--- A case that is handed all this. `bare`: without device and address space.
function spaces.case(body, bare)
  return function(t, opt)
    local context <close> = iommufd.open()
    local fd = context:fd()
    -- Ids start at 1, and the device is the first object.
    local device <close> = not bare and vfio.open(opt.engine, { iommufd = context }) or nil
    local data = not bare and sys.ioctl(fd, "IOMMU_IOAS_ALLOC", string.pack("<I4I4I4", 12, 0, 0)).bytes
    local ioas = data and string.unpack("<I4", data, 9)
    local host <close> = memory.alloc(16 * PAGE)
    host:fill(0, 16 * PAGE, 1)
    body(setmetatable({ answer = answers.new(t), fd = fd, device = device, id = 1, ioas = ioas, va = host:addr() }, With))
    if device then
      sys.ioctl(device:fd(), "VFIO_DEVICE_DETACH_IOMMUFD_PT", string.pack("<I4I4", 8, 0))
    end
  end
end

return spaces
