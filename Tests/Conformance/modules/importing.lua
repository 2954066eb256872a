--- What the conformance files about an importer in the kernel share: cases with an open exporter, and importers whose
--- every answer is recorded.
---
--- Where a switch passes requests on, bytes that the device copies are not compared: QEMU's switches do not look at the
--- addresses of requests from below, so these go up to the IOMMU, which knows no such address (a DMAR fault in the
--- kernel's log), and the copy moves nothing. The kernel has no part in that: it gave the address that a switch of
--- hardware would pass on, and answers the copy with 0 all the same, as the device has finished.
local sys, answers, fixture, pci, vfio =
  require "sys", require "answers", require "fixture", require "pci", require "vfio"
local importer, pattern = require "engines.edu_importer", require "pattern"

local importing = {}

local PAGE = 4096
local UDMABUF_CREATE, HEAP_ALLOC = 0x40187542, 0xc0184800
local PEER2PEER, INVALIDATE = 1, 2
local requests = importer.requests
--- Room for the answer of a map.
importing.map_bytes = ("\0"):rep(8 + 16 * importer.entries)

--- The argument of an attach; `flags` are both abilities where they are left out.
function importing.attach_bytes(fd, flags)
  return string.pack("<i4I4", fd, flags or PEER2PEER | INVALIDATE)
end

--- The argument of a copy.
function importing.copy_bytes(from, to, length)
  return string.pack("<I8I8I8", from, to, length)
end

local Importer = {}
Importer.__index = Importer

--- An importer's file, every method of which records an answer.
function importing.open(with, flags)
  return setmetatable({ file = sys.open(importer.path, flags), with = with, answer = with.answer }, Importer)
end

function Importer:__close()
  self.file:close()
end

function Importer:attach(name, fd, flags)
  return self.answer:ioctl(name, self.file:fd(), requests.attach, importing.attach_bytes(fd, flags))
end

--- How often the exporter has called, and whether a mapping is there.
function Importer:state(name)
  self.answer:ioctl(name .. ", state", self.file:fd(), requests.state, ("\xff"):rep(8), function(bytes)
    local invalidations, mapped = string.unpack("<I4I4", bytes)
    return ("invalidations=%d mapped=%d"):format(invalidations, mapped)
  end)
end

--- Pieces as the device sees them: lengths, and where they are, which is the kernel's choice unless it is the BAR's
--- place on the bus: `places` are offsets in the BAR.
function Importer:map(name, places)
  local bytes = self.answer:ioctl(name, self.file:fd(), requests.map, importing.map_bytes)
  if not bytes then
    return
  end
  local count, reserved = string.unpack("<I4I4", bytes)
  self.answer:value(name .. ", pieces", count)
  self.answer:value(name .. ", reserved", reserved)
  local follows
  for i = 1, math.min(count, importer.entries) do
    local address, length = string.unpack("<I8I8", bytes, 16 * i - 7)
    local where = address == follows and "behind the last" or address % PAGE == 0 and "at a page" or "within a page"
    if places and places[i] and address == self.with.bar + places[i] then
      where = "at its bus address"
      self.on_bus = true
    end
    self.answer:log(("%s, piece %d"):format(name, i), ("0x%x bytes %s"):format(length, where))
    follows = address + length
  end
end

function Importer:request(name, number, bytes)
  return self.answer:ioctl(name, self.file:fd(), number, bytes or "")
end

function Importer:copy(name, from, to, length)
  return self:request(name, requests.copy, importing.copy_bytes(from, to, length))
end

--- Whether the device moves bytes now: 64 from offset 0 of the BAR, where the dma-buf begins, to its next page.
function Importer:moves(name)
  local dev, sent = self.with.dev, pattern.bytes(64, 5)
  dev:write(2, 0, sent)
  dev:write(2, PAGE, ("\0"):rep(64))
  local copied = self:copy(name .. ", copy", 0, PAGE, 64)
  if self.on_bus and copied then
    self.answer:log(name .. ", the bytes", "not compared, as QEMU's switch does not pass them on")
  else
    self.answer:value(name .. ", the bytes are there", dev:read(2, PAGE, 64) == sent)
  end
end

--- What a case works with: the recorder, the open device, where its BAR is on the bus, and `export { page, pages }`.
function importing.case(body)
  return function(t, opt)
    t:expect_kernel_log("^DMAR", true) -- where a route ends at the IOMMU
    local exporter <close> = fixture.vfio(opt)
    local dev = exporter.dev
    local with = { answer = answers.new(t), dev = dev, bar = importer.bus_address(dev, 2), opt = opt }
    function with.export(...)
      return exporter:export(...)
    end
    body(with)
  end
end

--- A case with a dma-buf of the BAR's first 16 pages and an importer that has mapped it, if it can.
function importing.mapped(body)
  return importing.case(function(with)
    local buf <close> = with.export { 0, 16 }
    local one <close> = importing.open(with)
    one:attach("attach", buf:fd())
    one:map("map", { 0 })
    body(with, one, buf)
    one:state("in the end")
  end)
end

--- A dma-buf of a heap.
function importing.heap(length)
  local file <close> = sys.open "/dev/dma_heap/system"
  local got = sys.ioctl(file:fd(), HEAP_ALLOC, string.pack("<I8I4I4I8", length, 0, 0x80002, 0))
  return sys.adopt((string.unpack("<I4", got.bytes, 9)))
end

--- One of a memfd.
function importing.udmabuf(length)
  local file <close> = sys.open "/dev/udmabuf"
  local memory <close> = sys.memfd(length)
  sys.fcntl(memory:fd(), 1033, 2)
  return sys.adopt(sys.ioctl(file:fd(), UDMABUF_CREATE, string.pack("<I4I4I8I8", memory:fd(), 1, 0, length)).result)
end

--- Writes the exporter's command register: 2 is memory decoding.
function importing.set_command(with, value)
  with.dev:store(vfio.CONFIG, pci.COMMAND, 2, value)
end

return importing
