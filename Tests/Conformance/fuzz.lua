-- Random but valid-looking sequences of operations; every answer is printed, so that two benches can be compared line by
-- line (Tests/Conformance/fuzz does). An operation is a line of Lua, so a found difference is a script already.
local vfio, iommufd, memory, sys = require "vfio", require "iommufd", require "memory", require "sys"
local rdma, queues = require "rdma", require "queues"

local DEVICES = { "0000:01:00.0", "0000:02:00.0", "0000:03:00.0" }
local OFFSETS = { 0, 0x1000, 0x8000, 0xff000, 0x100000, 0x800, -0x1000 }
local LENGTHS = { 0x1000, 0x2000, 0x10000, 0x100000, 0, 0x800, 0x1001 }
local IOVAS = { 0x100000, 0x200000, 0x300000, 0x101000, 0xfee00000, 0, 0x100800 }

--- A generator of our own: Lua's math.random differs between builds.
local function generator(seed)
  local state = seed & 0xffffffff
  local random = {}
  function random.below(n)
    state = (state * 1664525 + 1013904223) & 0xffffffff
    return (state >> 16) % n
  end
  function random.pick(list)
    return list[random.below(#list) + 1]
  end
  --- Mostly one of the first few, which are the sensible ones.
  function random.mostly(list, sensible)
    return random.below(10) < 8 and list[random.below(sensible) + 1] or random.pick(list)
  end
  return random
end

local function number(value)
  return value < 0 and tostring(value) or ("0x%x"):format(value)
end

-- Each maker returns a line, and the handle it makes with its kind; nil where it lacks a handle to work on. Those of `verbs`
-- are for sequences with a NIC, a few are for both.
local makers, verbs = {}, require "fuzz_verbs"(number)

local function add_to(list, weight, make)
  for _ = 1, weight do
    list[#list + 1] = make
  end
end

local function maker(weight, make)
  add_to(makers, weight, make)
end

local function either(weight, make)
  maker(weight, make)
  add_to(verbs.makers, weight, make)
end

maker(3, function(r, h)
  local options = { "", "", ', { via = "group" }' }
  local context = h.any "context"
  if context then
    options[#options + 1] = (", { iommufd = %s }"):format(context)
    options[#options + 1] = options[#options]
  end
  return ("vfio.open(%q%s)"):format(r.pick(DEVICES), r.pick(options)), "device"
end)
maker(2, function()
  return "iommufd.open()", "context"
end)
maker(3, function(_, h)
  local context = h.any "context"
  return context and context .. ":alloc_ioas()", "ioas"
end)
either(1, function(r)
  return ("memory.alloc(%s)"):format(number(r.pick { 0x1000, 0x10000 })), "host"
end)
either(6, function(r, h)
  local device = h.any "device"
  local ranges = {}
  for i = 1, r.mostly({ 1, 2, 3, 0 }, 2) do
    ranges[i] = ("{ offset = %s, length = %s }"):format(number(r.mostly(OFFSETS, 3)), number(r.mostly(LENGTHS, 3)))
  end
  return device and ("%s:export_dmabuf { region_index = %d, ranges = { %s } }"):format(
    device, r.mostly({ 2, 2, 4, 0, 1, 3, 6, 7, 9 }, 3), table.concat(ranges, ", ")), "buffer"
end)
maker(4, function(r, h)
  local device, ioas = h.any "device", h.any "ioas"
  return device and ioas and ("%s:attach(%s) and nil"):format(device, ioas)
end)
maker(1, function(_, h)
  local device = h.any "device"
  return device and device .. ":detach()"
end)
maker(6, function(r, h)
  local ioas, buffer = h.any "ioas", h.any "buffer"
  return ioas and buffer and ("%s:map_file { dmabuf = %s, offset = %s, length = %s, iova = %s, write = %s }"):format(
    ioas, buffer, number(r.mostly({ 0, 0x1000, 0x800, 0x10000 }, 1)), number(r.mostly(LENGTHS, 2)),
    number(r.mostly(IOVAS, 3)), r.below(4) > 0)
end)
maker(3, function(r, h)
  local ioas, host = h.any "ioas", h.any "host"
  return ioas and host and ("%s:map { memory = %s, length = %s, iova = %s }"):format(
    ioas, host, number(r.mostly({ 0x1000, 0x800, 0 }, 1)), number(r.mostly(IOVAS, 3)))
end)
maker(2, function(r, h)
  local ioas, other = h.any "ioas", h.any "ioas"
  return ioas and ("%s:copy { src_ioas = %s, src_iova = %s, length = %s, iova = %s }"):format(
    ioas, other, number(r.mostly(IOVAS, 3)), number(r.mostly(LENGTHS, 2)), number(r.mostly(IOVAS, 3)))
end)
maker(3, function(r, h)
  local ioas = h.any "ioas"
  return ioas and ("%s:unmap(%s, %s)"):format(ioas, number(r.mostly(IOVAS, 3)), number(r.mostly(LENGTHS, 2)))
end)
maker(2, function(r, h)
  local buffer = h.any "buffer"
  return buffer and buffer .. r.pick {
    ":length()", ":info().size", ":info().name", ':set_name("x")', (':set_name(("x"):rep(%d))'):format(30 + r.below(4)),
    ':sync { "start", "read" }', ':sync { "end" }',
  }
end)
either(3, function(r, h)
  local device = h.any "device"
  local size = r.pick { 2, 1, 4 }
  return device and ("%s:store(vfio.CONFIG, 4, %d, %s)"):format(
    device, size, number(r.pick { 0, 2, 4, 6, 0x102, 0x406 } & (size == 1 and 0xff or 0xffff)))
end)
maker(1, function(_, h)
  local device = h.any "device"
  return device and device .. ":load(vfio.CONFIG, 4, 2)"
end)
either(1, function(_, h)
  local device = h.any "device"
  return device and device .. ":reset()"
end)
-- Bytes of a BAR and of host memory. The engine moves none: QEMU 7.2 dies of some sequences of its faults and resets.
maker(2, function(r, h)
  local device = h.any "device"
  return device and ("%s:write(2, %s, string.pack(%q, %d))"):format(
    device, number(r.mostly({ 0, 0x1000, 0xff8, 0x100000 }, 2)), "<I8", r.below(1000))
end)
maker(2, function(r, h)
  local device = h.any "device"
  return device and ("(string.unpack(%q, %s:read(2, %s, 8)))"):format("<I8", device, number(r.pick { 0, 0x1000 }))
end)
maker(1, function(r, h)
  local host = h.any "host"
  return host and ("%s:write(0, string.pack(%q, %d))"):format(host, "<I8", r.below(1000))
end)
maker(1, function(_, h)
  local host = h.any "host"
  return host and ("(string.unpack(%q, %s:read(0, 8)))"):format("<I8", host)
end)
--- A request of the system call alone: its errno, or nil.
local function request(file, name, format, ...)
  local values = { ... }
  for i, value in ipairs(values) do
    values[i] = math.type(value) and number(value) or value
  end
  return ("sys.ioctl(%s:fd(), %q, string.pack(%q, %s)).name"):format(file, name, format, table.concat(values, ", "))
end

-- The Express function's power state and reset bit; of the others, places where anything may be written.
maker(3, function(r, h)
  local device = h.any "device"
  return device and ("%s:store(vfio.CONFIG, 0x80, %d, %d)"):format(device, r.mostly({ 2, 1 }, 1), r.mostly({ 3, 0, 1 }, 2))
end)
maker(1, function(r, h)
  local device = h.any "device"
  return device and ("%s:store(vfio.CONFIG, 0x48, 2, %s)"):format(device, number(r.mostly({ 0x8000, 0 }, 1)))
end)
maker(1, function(_, h)
  local device = h.any "device"
  return device and request(device, "VFIO_DEVICE_PCI_HOT_RESET", "<I4I4I4", 12, 0, 0)
end)
maker(2, function()
  return "sys.eventfd()", "event"
end)
maker(4, function(r, h)
  local device, event = h.any "device", h.any "event"
  local flags = r.mostly({ 36, 33, 33, 34, 9, 17, 12, 20, 35, 0 }, 3)
  return device and event and request(device, "VFIO_DEVICE_SET_IRQS", "<I4I4I4I4I4i4i4", 28, flags,
    r.mostly({ 0, 1, 2, 3, 4, 5 }, 5), r.mostly({ 0, 1, 2 }, 1), r.mostly({ 1, 0, 2, 3 }, 2), event .. ":fd()",
    r.mostly({ event .. ":fd()", -1, 999 }, 2))
end)
maker(1, function(r, h)
  local device, event = h.any "device", h.any "event"
  return device and event and request(device, "VFIO_DEVICE_IOEVENTFD", "<I4I4I8I8i4I4", 32, r.mostly({ 4, 8, 3 }, 2),
    (r.mostly({ 2, 1, 4, 0 }, 3) << 40) + r.mostly({ 0x100, 0x1c, 0xffffe }, 2), 7,
    r.mostly({ event .. ":fd()", -1 }, 1), 0)
end)
maker(2, function(_, h)
  local event = h.any "event"
  return event and ("sys.poll(%s:fd(), 1).result"):format(event)
end)
maker(1, function(_, h)
  local event = h.any "event"
  return event and ("sys.write(%s:fd(), string.pack(%q, 1)).result"):format(event, "<I8")
end)
maker(2, function(r, h)
  local context, ioas, host = h.any "context", h.any "ioas", h.any "host"
  local first, last = r.mostly(IOVAS, 3), r.mostly({ 0x2fffff, 0x3fffff, 0xfee00fff, -1 }, 2)
  return context and ioas and host and ("%s:write(0, string.pack(%q, %s, %s)) or %s"):format(host, "<I8I8",
    number(first), number(last), request(context, "IOMMU_IOAS_ALLOW_IOVAS", "<I4I4I4I4I8", 24, ioas .. ":id()",
      r.mostly({ 1, 0 }, 1), 0, host .. ":addr()"))
end)
maker(1, function(r, h)
  local context, ioas = h.any "context", h.any "ioas"
  return context and ioas and request(context, "IOMMU_OPTION", "<I4I4I2I2I4I8", 24, 1, r.mostly({ 0, 1 }, 1), 0,
    ioas .. ":id()", r.mostly({ 0, 1, 2 }, 2))
end)
maker(1, function(r, h)
  local context, ioas = h.any "context", h.any "ioas"
  return context and ioas and request(context, "IOMMU_HWPT_ALLOC", "<I4I4I4I4I4I4I4I4I8I4I4", 48,
    r.mostly({ 0, 8, 1, 16 }, 2), r.mostly({ 1, 2, 3, 4 }, 2), ioas .. ":id()", 0, 0, 0, 0, 0, 0, 0)
end)
maker(3, function(r, h)
  local device = h.any "device"
  return device and ("#%s:read(%d, %s, %d)"):format(
    device, r.mostly({ 2, 7, 4, 1, 0, 6, 8, 9 }, 4), number(r.mostly({ 0, 4, 0x40, 0xffffc, 0x1000, 0x100000 }, 4)), 4)
end)
maker(3, function(r, h)
  local device = h.any "device"
  local operation = r.pick { '"get"', '"set"', '"probe"', '"probe", "get"', '"probe", "set"', '"get", "set"' }
  -- A GET of DMA_BUF would make a descriptor that nobody owns; 3 to 5 are power management.
  local feature = r.pick { 0, 1, 2, 6, 7, 8, 9, 10, 12, 13, 14, 15 }
  return device and ("%s:feature { number = %d, operation = { %s }, data = (\"\\0\"):rep(%d) } and nil"):format(
    device, feature, operation, r.pick { 0, 4, 8, 12, 16, 24, 32 })
end)
maker(2, function(r, h)
  local context = h.any "context"
  local name, size = table.unpack(r.pick {
    { "IOMMU_DESTROY", 8 }, { "IOMMU_IOAS_ALLOC", 12 }, { "IOMMU_IOAS_MAP", 40 }, { "IOMMU_IOAS_UNMAP", 24 },
    { "IOMMU_IOAS_MAP_FILE", 40 }, { "IOMMU_IOAS_COPY", 40 },
  })
  local said = size + r.pick { 0, -4, 4, 8, -8 }
  return context and ("sys.ioctl(%s:fd(), %q, string.pack(\"<I4\", %d) .. (\"\\%d\"):rep(%d)).name"):format(
    context, name, said, r.pick { 0, 255 }, math.max(said, size) - 4)
end)
maker(4, function(r, h)
  local handle = h.any(r.pick { "device", "context", "ioas", "buffer", "host", "event" })
  return handle and handle .. ":close()"
end)

-- How most scenarios begin, so that what follows finds something to work on.
local BEGINNING = {
  { "context", "iommufd.open()" },
  { "device", 'vfio.open("0000:01:00.0", { iommufd = context1 })' },
  { "buffer", "device2:export_dmabuf { region_index = 2, ranges = { { offset = 0x0, length = 0x10000 } } }" },
  { "ioas", "context1:alloc_ioas()" },
}

--- The lines of one sequence, with the names of the handles they make. Each works with a part of the makers only, as many
--- different things hide each other, and two in three begin as scenarios do.
local function sequence(seed, length, nic)
  local random, handles, count, lines = generator(seed), {}, 0, {}
  local h = { connected = { pair9 = true, pair10 = true }, sends = "cq6", receives = "cq7" }
  -- Mostly the newest: what was closed, replaced or never made is worked on often enough.
  function h.any(kind)
    local list = handles[kind]
    return list and (random.below(10) < 7 and list[#list] or random.pick(list))
  end
  function h.newest(kind)
    return handles[kind][#handles[kind]]
  end
  local function add(line, kind)
    local name
    if kind then
      count = count + 1
      name = kind .. count
      handles[kind] = handles[kind] or {}
      table.insert(handles[kind], name)
    end
    lines[#lines + 1] = { text = line, name = name }
  end
  local has_nic = nic ~= ""
  if has_nic or random.below(3) > 0 then
    for _, line in ipairs(has_nic and verbs.beginning(nic) or BEGINNING) do
      add(line[2], line[1])
    end
  end
  local enabled, chosen = {}, {}
  for _, make in ipairs(has_nic and verbs.makers or makers) do
    if enabled[make] == nil then
      enabled[make] = random.below(has_nic and 2 or 3) == 0
    end
    if enabled[make] then
      chosen[#chosen + 1] = make
    end
  end
  -- Opening something is always among them, as is sending.
  if has_nic then
    add_to(chosen, 2, verbs.send)
  end
  for i = 1, 8 do
    chosen[#chosen + 1] = (has_nic and verbs.makers or makers)[i]
  end
  while #lines < length do
    local line, kind = random.pick(chosen)(random, h)
    if line then
      add(line, kind)
    end
  end
  -- The state it ends in, which no operation may have asked for: which buffers still let themselves be mapped, and
  -- what the devices' command registers read.
  if has_nic then
    for _, region in ipairs(handles.region) do
      add(("queues.send(pair9, cq6, { opcode = \"rdma_write\", mr = region8, length = 8, remote_addr = %s:addr(), rkey = %s:rkey(), wr_id = 1 })")
        :format(region, region))
    end
    for i, buffer in ipairs(handles.buffer) do
      add(("domain4:reg_dmabuf_mr { dmabuf = %s, length = 0x1000, iova = 0x%x }"):format(buffer, i << 20), "region")
    end
  else
    add("iommufd.open()", "context")
    add(h.newest "context" .. ":alloc_ioas()", "ioas")
    local ioas = h.newest "ioas"
    for i, buffer in ipairs(handles.buffer or {}) do
      add(("%s:map_file { dmabuf = %s, offset = 0x0, length = 0x1000, iova = 0x%x, write = true }"):format(
        ioas, buffer, i << 20))
    end
  end
  for _, device in ipairs(handles.device or {}) do
    add(device .. ":load(vfio.CONFIG, 4, 2)")
  end
  return lines
end

local function text(line)
  return line.name and ("%s = %s"):format(line.name, line.text) or line.text
end

--- What is shown of a value: no address, no id, no descriptor.
local function shown(value)
  local kind = type(value)
  if kind == "userdata" then
    return "opened"
  elseif kind == "number" then
    return ("0x%x"):format(value)
  end
  return tostring(value)
end

--- Runs lines and prints each answer at once: a guest that dies takes along what is only kept. A line whose handle was never made, or was dropped, is not run.
local function play(tag, lines)
  print("== " .. tag)
  local env = { vfio = vfio, iommufd = iommufd, memory = memory, sys = sys, string = string, rdma = rdma, queues = queues }
  local made = {}
  for _, line in ipairs(lines) do
    local chunk = assert(load("return " .. line.text, "=line", env --[[@as any]]))
    local ok, value = pcall(chunk)
    if ok and line.name then
      env[line.name] = value
      made[#made + 1] = value
    end
    local answer
    if ok then
      answer = shown(value)
    else
      answer = type(value) == "table" and (value.name or value.kind) or "no such handle"
    end
    print(text(line) .. "  -->  " .. answer)
  end
  for i = #made, 1, -1 do
    local ok, err = pcall(made[i].close, made[i])
    if not ok then
      print(("closing what is left  -->  %s"):format(err.name or err.kind))
    end
  end
  print("== end of " .. tag)
end

--- The lines whose indices `keep` lists ("1,4,7"); all where it is empty.
local function kept(lines, keep)
  if keep == "" then
    return lines
  end
  local list = {}
  for index in keep:gmatch "%d+" do
    list[#list + 1] = lines[tonumber(index)]
  end
  return list
end

return {
  name = "fuzz",
  about = "random sequences of operations, every answer printed",
  options = {
    seed = { type = "integer", default = 1, min = 0, max = 0xffffffff, about = "of the first sequence" },
    runs = { type = "integer", default = 50, min = 1, max = 100000, about = "how many sequences" },
    length = { type = "integer", default = 24, min = 1, max = 1000, about = "operations a sequence; what it left is looked at after them" },
    keep = { type = "string", default = "", about = "run only these lines of the first sequence" },
    nic = { type = "string", default = "", about = "an RDMA device: then the sequences are of verbs" },
    variants = { type = "string", default = "", about = "several such lists, separated by ';': each is a sequence" },
  },
  cases = {
    { "all sequences", function(_, opt)
      if opt.variants ~= "" then
        local lines = sequence(opt.seed, opt.length, opt.nic)
        for keep in opt.variants:gmatch "[^;]+" do
          play(keep, kept(lines, keep))
        end
        return
      end
      for run = 0, opt.runs - 1 do
        play(tostring(opt.seed + run), kept(sequence(opt.seed + run, opt.length, opt.nic), opt.keep))
      end
    end },
  },
}
