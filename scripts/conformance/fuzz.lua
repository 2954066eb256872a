-- Random but valid-looking sequences of operations; every answer is logged, so that two benches can be compared line by
-- line (scripts/conformance/fuzz does). An operation is a line of Lua, so a found difference is a script already.
local vfio, iommufd, memory, sys = require "vfio", require "iommufd", require "memory", require "sys"

local DEVICES = { "0000:01:00.0", "0000:02:00.0" }
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

-- Each maker returns a line, and the handle it makes with its kind; nil where it lacks a handle to work on.
local makers = {}

local function maker(weight, make)
  for _ = 1, weight do
    makers[#makers + 1] = make
  end
end

local function number(value)
  return value < 0 and tostring(value) or ("0x%x"):format(value)
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
maker(1, function(r)
  return ("memory.alloc(%s)"):format(number(r.pick { 0x1000, 0x10000 })), "host"
end)
maker(6, function(r, h)
  local device = h.any "device"
  local ranges = {}
  for i = 1, r.mostly({ 1, 2, 3, 0 }, 2) do
    ranges[i] = ("{ offset = %s, length = %s }"):format(number(r.mostly(OFFSETS, 3)), number(r.mostly(LENGTHS, 3)))
  end
  return device and ("%s:export_dmabuf { region = %d, ranges = { %s } }"):format(
    device, r.mostly({ 2, 2, 0, 1, 3, 6, 7, 9 }, 2), table.concat(ranges, ", ")), "buffer"
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
  return ioas and ("%s:copy { source = %s, from = %s, length = %s, iova = %s }"):format(
    ioas, other, number(r.mostly(IOVAS, 3)), number(r.mostly(LENGTHS, 2)), number(r.mostly(IOVAS, 3)))
end)
maker(3, function(r, h)
  local ioas = h.any "ioas"
  return ioas and ("%s:unmap(%s, %s)"):format(ioas, number(r.mostly(IOVAS, 3)), number(r.mostly(LENGTHS, 2)))
end)
maker(2, function(r, h)
  local buffer = h.any "buffer"
  return buffer and buffer .. r.pick {
    ":size()", ":info().size", ":info().name", ':set_name("x")', (':set_name(("x"):rep(%d))'):format(30 + r.below(4)),
    ':sync { "start", "read" }', ':sync { "end" }',
  }
end)
maker(2, function(r, h)
  local device = h.any "device"
  return device and ("%s:store(vfio.CONFIG, 4, 2, %s)"):format(device, number(r.pick { 0, 2, 4, 6, 0x102, 0x406 }))
end)
maker(1, function(_, h)
  local device = h.any "device"
  return device and device .. ":load(vfio.CONFIG, 4, 2)"
end)
maker(1, function(_, h)
  local device = h.any "device"
  return device and device .. ":reset()"
end)
maker(3, function(r, h)
  local device = h.any "device"
  return device and ("#%s:read(%d, %s, %d)"):format(
    device, r.mostly({ 2, 7, 0, 1, 6, 8, 9 }, 2), number(r.mostly({ 0, 4, 0x40, 0xffffc, 0x1000, 0x100000 }, 4)), 4)
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
  local handle = h.any(r.pick { "device", "context", "ioas", "buffer", "host" })
  return handle and handle .. ":close()"
end)

--- The lines of one sequence, with the names of the handles they make.
local function sequence(seed, length)
  local random, handles, count, lines = generator(seed), {}, 0, {}
  local h = {}
  function h.any(kind)
    local list = handles[kind]
    return list and random.pick(list)
  end
  while #lines < length do
    local line, kind = random.pick(makers)(random, h)
    if line then
      local name
      if kind then
        count = count + 1
        name = kind .. count
        handles[kind] = handles[kind] or {}
        table.insert(handles[kind], name)
      end
      lines[#lines + 1] = { text = line, name = name }
    end
  end
  return lines
end

local function text(line)
  return line.name and ("%s = %s"):format(line.name, line.text) or line.text
end

--- What is logged of a value: no address, no id, no descriptor.
local function shown(value)
  local kind = type(value)
  if kind == "userdata" then
    return "opened"
  elseif kind == "number" then
    return ("0x%x"):format(value)
  end
  return tostring(value)
end

--- Runs lines and logs each answer. A line whose handle was never made, or was dropped, is not run.
local function play(t, lines)
  local env = { vfio = vfio, iommufd = iommufd, memory = memory, sys = sys, string = string }
  local made = {}
  for _, line in ipairs(lines) do
    local chunk = assert(load("return " .. line.text, "=line", env))
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
    t:log(text(line) .. "  -->  " .. answer)
  end
  for i = #made, 1, -1 do
    local ok, err = pcall(made[i].close, made[i])
    if not ok then
      t:log(("closing what is left  -->  %s"):format(err.name or err.kind))
    end
  end
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
  about = "random sequences of operations, every answer logged",
  options = {
    seed = { type = "integer", default = 1, min = 0, max = 0xffffffff, about = "of the first sequence" },
    runs = { type = "integer", default = 50, min = 1, max = 100000, about = "how many sequences" },
    length = { type = "integer", default = 24, min = 1, max = 1000, about = "operations a sequence" },
    keep = { type = "string", default = "", about = "run only these lines of the first sequence" },
    variants = { type = "string", default = "", about = "several such lists, separated by ';': each is a sequence" },
  },
  cases = {
    ["all sequences"] = function(t, opt)
      if opt.variants ~= "" then
        local lines = sequence(opt.seed, opt.length)
        for keep in opt.variants:gmatch "[^;]+" do
          t:log("== " .. keep)
          play(t, kept(lines, keep))
        end
        return
      end
      for run = 0, opt.runs - 1 do
        t:log(("== %d"):format(opt.seed + run))
        play(t, kept(sequence(opt.seed + run, opt.length), opt.keep))
      end
    end,
  },
}
