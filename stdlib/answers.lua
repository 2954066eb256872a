--- Records a kernel's answers without judging them: each is a line of the case's report, so that two reports can be
--- compared line by line (Tests/Conformance/compare of the source tree).
---
---   local answer = answers.new(t)
---   answer("no range", dev.export_dmabuf, dev, { region_index = 2, ranges = {} })    -- no range: EINVAL
---   answer:ioctl("unknown", dev:fd(), 0x3bff, "")                              -- unknown: ENOTTY
---
--- Values that may differ between two runs of one kernel are left out of the lines:
---   * a descriptor is recorded as "fd", an object as "object";
---   * an address or an id that the kernel chose is left to the case, which records a relation ("the same id");
---   * times are not recorded;
---   * numbers from 10 on are hexadecimal, and long bytes are given as their number and a sum.
local sys = require "sys"

local answers = {}
local Answers = {}
Answers.__index = Answers

--- An answer's value as text.
local function show(value)
  local kind = math.type(value) or type(value)
  if kind == "integer" then
    return 0 <= value and value < 10 and tostring(value) or ("0x%x"):format(value)
  elseif kind == "string" then
    if #value <= 200 and not value:find("[^%g ]") and #value > 0 then
      return '"' .. value .. '"'
    elseif #value <= 32 then
      return "bytes " .. value:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    end
    local sum = 0
    for i = 1, #value do
      sum = (sum * 31 + value:byte(i)) & 0xffffffff
    end
    return ("0x%x bytes, sum %08x"):format(#value, sum)
  elseif kind == "table" then
    local keys, parts = {}, {}
    for key in pairs(value) do
      keys[#keys + 1] = key
    end
    table.sort(keys)
    for i, key in ipairs(keys) do
      parts[i] = key .. "=" .. show(value[key])
    end
    return table.concat(parts, " ")
  elseif kind == "userdata" then
    return "object"
  end
  return tostring(value)
end
--- The function that makes text of an answer's value.
answers.show = show

--- A recorder of the case's answers.
function answers.new(t)
  return setmetatable({ case = t }, Answers)
end

--- Adds a line of its own.
function Answers:log(name, text)
  self.case:log(name .. ": " .. text)
end

--- Records a value under a name.
function Answers:value(name, value)
  self:log(name, show(value))
end

--- Calls `fn` and records its results, or the errno that it raises or returns. Returns the results, nil for an errno.
--- Errors that are not the kernel's are raised again.
function Answers:__call(name, fn, ...)
  local results = table.pack(pcall(fn, ...))
  local first = results[2]
  if not results[1] then
    if type(first) ~= "table" or first.name == nil then
      error(first, 0)
    end
    self:log(name, first.name)
    return nil
  end
  -- Reading a field that a function's table does not have is an error.
  if type(first) == "table" and rawget(first, "errno") and rawget(first, "result") then
    self:log(name, first.name or show(first.result) .. (first.bytes and ", " .. show(first.bytes) or ""))
    return not first.name and first or nil
  end
  local parts = {}
  for i = 2, results.n do
    parts[#parts + 1] = show(results[i])
  end
  self:log(name, table.concat({ "ok", table.concat(parts, ", ") }, #parts > 0 and " " or ""))
  return table.unpack(results, 2, results.n)
end

--- Calls sys.ioctl with bytes; records the errno or the result. `output` converts the bytes after the call to the
--- recorded text (called where the kernel changed them); it may be a string.unpack format. Returns the bytes, nil for
--- an errno.
function Answers:ioctl(name, fd, request, bytes, output)
  local answer = sys.ioctl(fd, request, bytes)
  local text = answer.name or show(answer.result)
  if output and answer.bytes ~= bytes then
    if type(output) == "string" then
      local values = table.pack(string.unpack(output, answer.bytes))
      for i = 1, values.n - 1 do
        values[i] = show(values[i])
      end
      text = text .. " (" .. table.concat(values, " ", 1, values.n - 1) .. ")"
    else
      text = text .. " (" .. output(answer.bytes) .. ")"
    end
  end
  self:log(name, text)
  return not answer.name and (answer.bytes or "") or nil
end

--- The same for a request whose result is a descriptor; returns it as a file to be closed, nil for an errno.
function Answers:descriptor(name, fd, request, bytes)
  local answer = sys.ioctl(fd, request, bytes)
  self:log(name, answer.name or "fd")
  return not answer.name and sys.adopt(answer.result) or nil
end

--- The same, and closes the file at once.
function Answers:closed(name, fd, request, bytes)
  local file <close> = self:descriptor(name, fd, request, bytes)
  return file ~= nil
end

return answers
