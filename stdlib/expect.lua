--- Checks. One that fails ends the case as failed, and the error names the script's line.
local case = require "case"

local expect = {}

local EXCERPT <const> = 48 -- bytes shown of a string around the difference
local SHORT <const> = 64 -- bytes of the longest string that is shown whole

--- Quotes any bytes as a Lua string.
local function quoted(bytes)
  return '"' .. bytes:gsub('[\\"]', "\\%0"):gsub("[^%g ]", function(byte)
    return byte == "\n" and "\\n" or ("\\x%02x"):format(byte:byte())
  end) .. '"'
end

local function show(value)
  if type(value) == "string" then
    return #value <= SHORT and quoted(value) or ("%s... (%d bytes)"):format(quoted(value:sub(1, EXCERPT)), #value)
  end
  return tostring(value)
end

--- Part of a string from a byte on, with a few bytes before it.
local function excerpt(bytes, from)
  local first = math.max(from - 8, 1)
  local text = quoted(bytes:sub(first, first + EXCERPT - 1))
  return (first > 1 and "..." or "") .. text .. (first + EXCERPT <= #bytes and "..." or "")
end

--- Position of the first difference of two different strings, from 1.
local function difference(a, b)
  for i = 1, math.min(#a, #b) do
    if a:byte(i) ~= b:byte(i) then
      return i
    end
  end
  return math.min(#a, #b) + 1
end

--- A number with enough digits to distinguish it from all others.
local function exact(value)
  if math.type(value) == "float" then
    for digits = 14, 17 do
      local text = ("%." .. digits .. "g"):format(value)
      if tonumber(text) == value or digits == 17 then
        return text
      end
    end
  end
  return tostring(value)
end

local function prefix(what)
  return what and what .. ": " or ""
end

local function integer(value)
  return math.type(value) == "integer"
end

--- Refuses a call with a missing argument, which would compare nil with nil.
local function takes(count, name, ...)
  if select("#", ...) < count then
    error(("expect.%s: %d %s given"):format(name, select("#", ...), select("#", ...) == 1 and "is" or "are"), 3)
  end
end

--- Expected and found value as text, long enough to show the difference.
local function both(expected, found)
  if integer(expected) and integer(found) then
    local a, b = tostring(expected), tostring(found)
    if expected > 0xff or found > 0xff then
      a, b = ("%s (0x%x)"):format(a, expected), ("%s (0x%x)"):format(b, found)
    end
    return ("expected %s, found %s"):format(a, b)
  end
  if type(expected) == "number" and type(found) == "number" then
    return ("expected %s, found %s"):format(exact(expected), exact(found))
  end
  if type(expected) == "string" and type(found) == "string" and math.max(#expected, #found) > SHORT then
    local at = difference(expected, found)
    return ("expected %d bytes, found %d; from byte %d (0x%x) on expected %s, found %s"):format(
      #expected, #found, at - 1, at - 1, excerpt(expected, at), excerpt(found, at))
  end
  local a, b = show(expected), show(found)
  return ("expected %s, found %s%s"):format(a, b, a == b and ", another one that is shown alike" or "")
end

--- Whether it is a text that records keep.
local function short(value)
  return type(value) == "string" and #value <= SHORT and not value:find("%c")
end

--- A value as the text that records keep; nil of one that they do not.
local function kept(value)
  local kind = math.type(value) or type(value)
  return (kind == "integer" or kind == "float" or kind == "boolean") and tostring(value) or short(value) and value or nil
end

--- `found` must equal `expected` (==); `what` says what they are.
---@overload fun(found: any, expected: any, what?: string)
function expect.equal(...)
  takes(2, "equal(found, expected, what)", ...)
  local found, expected, what = ...
  if found ~= expected then
    local message = prefix(what) .. both(expected, found)
    if kept(found) and kept(expected) then
      case.fail(message, kept(found), kept(expected), short(what) and what or nil)
    end
    case.fail(message)
  end
end

local function tag(value)
  return integer(value) and ("0x%02x"):format(value) or show(value)
end

--- Explains a 16-bit tag that comes back as an 8-bit one.
local function cut(found, expected)
  if integer(found) and integer(expected) and expected > 0xff and expected <= 0xffff and found == expected & 0xff then
    return ", its low 8 bits: of a steering tag mlx5 keeps 8 bits in direct mode; use a steering table, or a tag up to 0xff"
  end
  return ""
end

--- A steering tag must be that one (nil for none).
---@overload fun(found: integer|string|nil, expected: integer|string|nil, what?: string)
function expect.tag(...)
  takes(2, "tag(found, expected, what)", ...)
  local found, expected, what = ...
  if found ~= expected then
    case.fail(("%sexpected %s, found %s%s"):format(prefix(what), tag(expected), tag(found), cut(found, expected)))
  end
end

--- `found` must not equal `other`.
---@overload fun(found: any, other: any, what?: string)
function expect.different(...)
  takes(2, "different(found, other, what)", ...)
  local found, other, what = ...
  if found == other then
    case.fail(("%sfound %s, which it must not be"):format(prefix(what), show(found)))
  end
end

--- `value` must be neither nil nor false.
---@param value any
---@param what? string
function expect.truthy(value, what)
  if not value then
    case.fail(("%sfound %s"):format(prefix(what), show(value)))
  end
end

--- Two strings of bytes must be equal; the error has the offset of the first difference.
---@param found string
---@param expected string
---@param what? string
function expect.bytes(found, expected, what)
  for name, value in pairs({ found = found or false, expected = expected or false }) do
    if type(value) ~= "string" then
      error(("expect.bytes(found, expected, what): '%s' is %s, not a string"):format(name, show(value or nil)), 2)
    end
  end
  if found == expected then
    return
  end
  local i = difference(found, expected)
  local a, b = found:byte(i), expected:byte(i)
  if a and b then
    case.fail(("%sbyte %d (0x%x): expected 0x%02x, found 0x%02x"):format(prefix(what), i - 1, i - 1, b, a))
  end
  case.fail(("%sexpected %d bytes, found %d, which are the same as far as they go"):format(prefix(what), #expected, #found))
end

--- Errors that end a case but are not a failure of the checked call.
local ENDS <const> = { skip = true, interrupt = true, timeout = true, not_run = true, peer = true }

--- Calling `fn` must fail with that errno ("EINVAL"); returns the error.
---@param name string
---@param fn function
---@return any err
function expect.errno(name, fn, ...)
  case.errno(name)
  local ok, err = pcall(fn, ...)
  if ok then
    case.fail(("expected %s, but the call succeeded"):format(name), "success", name)
  end
  if type(err) ~= "table" or err.name == nil then
    error(err, 0)
  end
  if err.name ~= name then
    case.fail(("expected %s, found %s"):format(name, tostring(err)), tostring(err.name), name)
  end
  return err
end

--- Calling `fn` must fail with a message that contains `text`; returns the error.
---@param text string
---@param fn function
---@return any err
function expect.error(text, fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then
    case.fail(("expected an error with %q, but the call succeeded"):format(text))
  end
  if type(err) == "table" and ENDS[err.kind] then
    error(err, 0)
  end
  if not tostring(err):find(text, 1, true) then
    case.fail(("expected an error with %q, found %s"):format(text, tostring(err)))
  end
  return err
end

return expect
