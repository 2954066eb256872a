-- VFIO_DEVICE_FEATURE_DMA_BUF_TPH as the lab's module vfio_tph serves it (scripts/lab/vfio-tph): every
-- refusal, what is stored, and what an importer is told. It wants the lab's modules, so it is none of the files that
-- `Tests/Conformance/compare` takes by itself; Tests/Lab/test names the benches.
--
-- A dma-buf's hint is shown as debugfs has it, with the dma-buf's label in place of its inode number, and as an
-- importer gets it where the bench has one. The module forgets hints when the device is closed, the series would not.
local vfio, sys, answers = require "vfio", require "sys", require "answers"
local feature, importer = require "tph_feature", require "engines.edu_importer"
local importing = require "importing"

local PAGE = 4096
local FEATURE, GET, SET, PROBE = "VFIO_DEVICE_FEATURE", 1 << 16, 1 << 17, 1 << 18
local ST, ST_EXT = feature.ST, feature.ST_EXT

--- A request: flags, data, argsz (default: what is there).
local function request(flags, data, argsz)
  return string.pack("<I4I4", argsz or (8 + #data), flags) .. data
end

local Case = {}
Case.__index = Case

--- A new dma-buf, known by this label, and an importer attached to it where there is one.
function Case:export(label, pages)
  local buf = self.dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = (pages or 1) * PAGE } } }
  self.labels[buf:info().inode] = label
  local ok, attached = pcall(importer.attach, buf) ---@type boolean, any
  if ok then
    self.attached[#self.attached + 1] = { label = label, importer = attached }
  elseif attached.operation ~= "open" then
    error(attached, 0)
  end
  return buf
end

--- The bytes of a SET with these values.
function Case:data(values)
  return feature.pack(self.structure, values)
end

--- A SET of these bytes, recorded.
function Case:set_bytes(name, data, dev)
  return self.answer:ioctl(name, (dev or self.dev):fd(), FEATURE, request(self.number | SET, data))
end

function Case:set(name, buf, values)
  values.fd = buf:fd()
  return self:set_bytes(name, self:data(values))
end

--- What is stored, by debugfs and by importers.
function Case:show(name)
  local file <close> = sys.open("/sys/kernel/debug/vfio_tph/dmabufs", 0)
  local text = sys.read(file:fd(), 16384).bytes:gsub("(%d+) ([^\n]*\n)", function(inode, rest)
    return (self.labels[tonumber(inode)] or "unknown") .. " " .. rest
  end)
  self.answer:value(name .. ", stored", (text:gsub("\n", "; ")))
  for _, one in ipairs(self.attached) do
    for _, extended in ipairs { false, true } do
      local what = ("%s, %s, %s bits"):format(name, one.label, extended and 16 or 8)
      self.answer(what, one.importer.hint, one.importer, extended)
    end
  end
end

local function case(body)
  return function(t, opt)
    local dev <close> = vfio.open(opt.exporter)
    local c = setmetatable({ answer = answers.new(t), dev = dev, opt = opt, labels = {}, attached = {} }, Case)
    c.number, c.structure, c.revision = feature.identify(dev)
    local _all <close> = setmetatable({}, {
      __close = function()
        for _, one in ipairs(c.attached) do
          one.importer:close()
        end
      end,
    })
    body(c)
  end
end

--- The operations of the feature on a device, whether it serves it or not.
local function operations(c, prefix, dev)
  local data = c:data { fd = -1 }
  local function try(name, flags, bytes, argsz)
    c.answer:ioctl(prefix .. name, dev:fd(), FEATURE, request(c.number | flags, bytes or data, argsz))
  end
  try("PROBE", PROBE)
  try("PROBE, no data", PROBE, "")
  try("PROBE SET", PROBE | SET)
  try("PROBE SET, no data", PROBE | SET, "")
  try("PROBE GET", PROBE | GET)
  try("PROBE GET SET", PROBE | GET | SET)
  try("GET", GET)
  try("GET, no data", GET, "")
  try("GET SET", GET | SET)
  try("no operation", 0)
  try("no operation, no data", 0, "")
  try("SET", SET)
  try("SET, no data", SET, "")
  try("bit 19", SET | 1 << 19)
  try("argsz 7", SET, data, 7)
  try("argsz 0", SET, data, 0)
end

return {
  name = "conformance-tph",
  about = "DMA_BUF_TPH of the lab's module: refusals, what is stored, what importers are told",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device whose BAR 2 is exported" },
  },
  needs = { "vfio.dma_buf", "vfio.dma_buf_tph" },
  cases = {
    { "the feature", case(function(c)
      c.answer:value("number", c.number)
      c.answer:value("structure", c.revision)
      for number = 13, 20 do
        c.answer:ioctl(("PROBE SET of %d"):format(number), c.dev:fd(), FEATURE, request(number | PROBE | SET, ""))
      end
    end) },

    { "operations", case(function(c)
      operations(c, "", c.dev)
      for _, found in ipairs(vfio.devices()) do
        if found.address ~= c.dev:address() then
          local other <close> = vfio.open(found.address)
          operations(c, "on another device, ", other)
        end
      end
      c:show("in the end")
    end) },

    -- v6 asks whether the device can send hints; neither the lab's exporter nor any conventional PCI function can.
    { "a device that is no requester", case(function(c)
      local buf <close> = c:export("a")
      c:set("before", buf, { st = 1 })
      local path = "/sys/module/vfio_tph/parameters/requester"
      local file <close> = sys.open(path)
      c.answer("the parameter", sys.read, file:fd(), 10, 0)
      c.answer("written", sys.write, file:fd(), "0", 0)
      operations(c, "", c.dev)
      c:set("set", buf, { st = 2 })
      c:set("a hint above 3", buf, { ph = 4 })
      c:set_bytes("too short", "")
      c:set_bytes("no dma-buf", c:data { fd = -1 })
      c:show("meanwhile")
      local again <close> = sys.open(path)
      c.answer("the parameter then", sys.read, again:fd(), 10, 0)
      c.answer("rubbish written", sys.write, again:fd(), "x", 0)
      c.answer("written back", sys.write, again:fd(), "Y\n", 0)
      c:set("afterwards", buf, { st = 3 })
      c:show("afterwards")
    end) },

    { "sizes", case(function(c)
      local size = c.structure.size
      local buf <close> = c:export("a")
      for count = 0, size do
        c:set_bytes(("%d bytes"):format(count), c:data({ fd = -1 }):sub(1, count))
        c:set_bytes(("%d bytes, a dma-buf"):format(count), c:data({ fd = buf:fd(), st = count + 1 }):sub(1, count))
      end
      c:show("after sizes")
      for _, more in ipairs { 1, 4, 8, 4000 } do
        c:set_bytes(("%d bytes more"):format(more), c:data { fd = buf:fd(), st = 0x40 } .. ("\xff"):rep(more))
      end
      c:show("after more")
      for count = 0, size do
        c.answer:ioctl(("%d bytes readable"):format(count), c.dev:fd(), FEATURE,
          request(c.number | SET, c:data({ fd = buf:fd(), st = 0x41 }):sub(1, count), 8 + size))
      end
      c:show("after what could be read")
      c.answer:ioctl("argsz 2^32 - 1", c.dev:fd(), FEATURE,
        request(c.number | SET, c:data { fd = buf:fd(), st = 0x42 }, 0xffffffff))
      c.answer:ioctl("argsz a byte short", c.dev:fd(), FEATURE,
        request(c.number | SET, c:data { fd = buf:fd(), st = 0x43 }, 7 + size))
      c:show("in the end")
    end) },

    { "descriptors", case(function(c)
      local buf <close> = c:export("a")
      local memory <close> = importing.heap(PAGE)
      local pages <close> = importing.udmabuf(PAGE)
      local memfd <close> = sys.memfd(PAGE)
      local event <close> = sys.eventfd()
      local dropped = c:export("dropped")
      local closed = dropped:fd()
      dropped:close()
      for _, row in ipairs {
        { "-1", -1 }, { "-2^31", -(1 << 31) }, { "2^31 - 1", (1 << 31) - 1 }, { "999", 999 },
        { "a closed one", closed },
        { "the device", c.dev:fd() }, { "a heap's dma-buf", memory:fd() }, { "a udmabuf", pages:fd() },
        { "a memfd", memfd:fd() }, { "an eventfd", event:fd() }, { "its own dma-buf", buf:fd() },
      } do
        c:set_bytes(row[1], c:data { fd = row[2], st = 0x11 })
      end
      local copy <close> = sys.adopt(sys.fcntl(buf:fd(), 1030, 0).result)
      c:set_bytes("a duplicate", c:data { fd = copy:fd(), st = 0x12 })
      c:show("in the end")
    end) },

    { "dma-bufs of others", case(function(c)
      for _, found in ipairs(vfio.devices()) do
        if found.address ~= c.dev:address() then
          local other <close> = vfio.open(found.address)
          local region = 0
          while other:region_info(region).size < PAGE do
            region = region + 1
          end
          local buf <close> = other:export_dmabuf { region_index = region, ranges = { { offset = 0, length = PAGE } } }
          c:set_bytes("a dma-buf of another device", c:data { fd = buf:fd() })
          c:set_bytes("its own through another device", c:data { fd = c:export("a"):fd() }, other)
        end
      end
      local buf <close> = c:export("b")
      c:set("before closing", buf, { st = 3 })
      c.dev:close()
      c:show("closed")
      local again <close> = vfio.open(c.opt.exporter)
      c:set_bytes("the device opened again", c:data { fd = buf:fd() }, again)
      c:show("opened again")
    end) },

    { "flags and the reserved byte", case(function(c)
      local buf <close> = c:export("a")
      local reserved = c.structure.reserved
      local function each(try)
        try("a dma-buf", buf:fd())
        try("no dma-buf", -1)
      end
      if reserved then
        for _, value in ipairs { 1, 2, 0x80, 0xff } do
          each(function(name, fd)
            local data = feature.patched(c:data { fd = fd, st = value }, reserved, value)
            c:set_bytes(("%d in the reserved byte, %s"):format(value, name), data)
          end)
        end
      else
        for bit = 0, 31 do
          each(function(name, fd)
            c:set_bytes(("flag %d, %s"):format(bit, name), c:data { fd = fd, flags = 1 << bit, st = 5, st_ext = 6 })
          end)
        end
        for flags = 0, 8 do
          c:set(("flags %d"):format(flags), buf, { flags = flags, st = 0x20 + flags, st_ext = 0x2000 + flags, ph = 1 })
          c:show(("flags %d"):format(flags))
        end
        c:set("no flags, hint 4", buf, { flags = 0, ph = 4 })
        c:set_bytes("no flags, no dma-buf", c:data { fd = -1, flags = 0 })
      end
      c:show("in the end")
    end) },

    { "processing hints", case(function(c)
      local buf <close> = c:export("a")
      for _, ph in ipairs { 5, 7, 8, 0x7f, 0x80, 0xfe } do
        c:set(("hint %d"):format(ph), buf, { ph = ph, st = ph })
      end
      c:show("after all")
      for _, ph in ipairs { 0, 1, 2, 3, 4, 0x10, 0xff } do
        c:set(("hint %d again"):format(ph), buf, { ph = ph })
        c:show(("hint %d"):format(ph))
        c:set_bytes(("hint %d, no dma-buf"):format(ph), c:data { fd = -1, ph = ph })
      end
    end) },

    { "tags", case(function(c)
      local buf <close> = c:export("a")
      local widest = c.structure.size == 8 and 0xffff or 0xff
      for _, st in ipairs { 0, 1, 0x7f, 0x80, 0xff, 0x100, 0x1ff, 0x8000, 0xff00, 0xffff } do
        if st <= widest then
          c:set(("tag 0x%x"):format(st), buf, { st = st, ph = 2 })
          c:show(("tag 0x%x"):format(st))
        end
        if c.structure.flags then
          c:set(("16-bit tag 0x%x"):format(st), buf, { flags = ST_EXT, st_ext = st, ph = 1 })
          c:show(("16-bit tag 0x%x"):format(st))
          c:set(("both tags, 0x%x"):format(st), buf, { flags = ST | ST_EXT, st = st & 0xff, st_ext = st, ph = 3 })
          c:show(("both tags, 0x%x"):format(st))
        end
      end
    end) },

    { "typed", case(function(c)
      local buf <close> = c:export("a")
      for _, ph in ipairs { "bidirectional", "requester", "target", "target-priority" } do
        c.answer(ph, buf.set_tph, buf, { st = 0x42, ph = ph })
        c:show(ph)
      end
    end) },

    { "replacing and clearing", case(function(c)
      local buf <close> = c:export("a")
      c:show("before any")
      c:set("a first", buf, { st = 1, ph = 1 })
      c:show("a first")
      c:set("a second", buf, { st = 2, ph = 2 })
      c:show("a second")
      if c.structure.flags then
        c:set("the other namespace", buf, { flags = ST_EXT, st_ext = 0x300, ph = 3 })
        c:show("the other namespace")
        c:set("none", buf, { flags = 0 })
        c:show("none")
        c:set("none again", buf, { flags = 0, st = 7, st_ext = 8, ph = 1 })
        c:show("none again")
        c:set("one again", buf, { st = 9 })
        c:show("one again")
      end
      c:set("a refused one", buf, { st = 0x55, ph = 1, flags = 0x100, pad = 1 })
      c:show("a refused one")
    end) },

    { "several dma-bufs", case(function(c)
      local a <close> = c:export("a", 1)
      local b = c:export("b", 2)
      local d <close> = c:export("d", 256)
      c:set("b", b, { st = 2 })
      c:set("d", d, { st = 4 })
      c:set("a", a, { st = 1 })
      c:show("three")
      c:set("b again", b, { st = 0x22 })
      c:show("b replaced")
      if c.structure.clears then
        c:set("d cleared", d, { flags = 0 })
        c:show("d cleared")
        c:set("d again", d, { st = 0x44 })
        c:show("d set again")
      end
      b:close()
      c:show("b closed")
      for i, one in ipairs(c.attached) do
        if one.label == "b" then
          one.importer:close()
          table.remove(c.attached, i)
          break
        end
      end
      c:show("b released")
      local e <close> = c:export("e", 3)
      c:show("a new one")
      c:set("e", e, { st = 5 })
      c:show("e set")
    end) },

    { "a revoke keeps the hint", case(function(c)
      local buf <close> = c:export("a")
      c:set("set", buf, { st = 0x42, ph = 2 })
      c.answer("reset", c.dev.reset, c.dev)
      c:show("after a reset")
      c.dev:store(vfio.CONFIG, 4, 2, 0)
      c:show("memory off")
      c:set("set with memory off", buf, { st = 0x43, ph = 1 })
      c:show("set with memory off")
      c.dev:store(vfio.CONFIG, 4, 2, 2)
      c:show("memory on")
      c.answer:ioctl("low power", c.dev:fd(), FEATURE, request(3 | SET, ""))
      c:show("asleep")
      c:set("set asleep", buf, { st = 0x44, ph = 3 })
      c:show("set asleep")
      c.answer:ioctl("low power's end", c.dev:fd(), FEATURE, request(5 | SET, ""))
      c:show("awake")
    end) },

    { "debugfs", case(function(c)
      local answer, path = c.answer, "/sys/kernel/debug/vfio_tph/dmabufs"
      local file <close> = sys.open(path, 0)
      answer("empty", sys.read, file:fd(), 100)
      local buf <close> = c:export("a")
      c:set("set", buf, { st = 0x42, ph = 2 })
      local second <close> = sys.open(path, 0)
      local line = sys.read(second:fd(), 4096).bytes or ""
      answer:value("the inode is fdinfo's", line:match("^%d+") == tostring(buf:info().inode))
      answer:value("the rest of the line", line:match(" ([^\n]*)\n$"))
      answer("at its end", sys.read, second:fd(), 100)
      answer("another part", function() return #sys.read(second:fd(), 4, #line - 4).bytes end)
    end) },
  },
}
