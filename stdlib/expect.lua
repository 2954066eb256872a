--- Checks. One that does not hold ends the case as failed, at the line that made it.
local case = require "case"

local expect = {}

local function show(value)
  if type(value) == "string" then
    if #value > 64 or value:find("[^%g ]") then
      return ("%d bytes"):format(#value)
    end
    return ("%q"):format(value)
  end
  return tostring(value)
end

local function prefix(what)
  return what and what .. ": " or ""
end

local function integer(value)
  return math.type(value) == "integer"
end

--- Why a tag of 16 bits comes back as one of 8.
local function cut(found, expected)
  if integer(found) and integer(expected) and expected > 0xff and expected <= 0xffff and found == expected & 0xff then
    return ", its low 8 bits: of a steering tag mlx5 keeps 8 bits in direct mode; use a steering table, or a tag up to 0xff"
  end
  return ""
end

--- `found` must equal `expected` (==); `what` says what they are.
function expect.equal(found, expected, what)
  if found ~= expected then
    local a, b = show(expected), show(found)
    if integer(expected) and integer(found) and (expected > 0xff or found > 0xff) then
      a, b = ("%s (0x%x)"):format(a, expected), ("%s (0x%x)"):format(b, found)
    end
    -- Of other numbers than tags, 0 is often found.
    case.fail(("%sexpected %s, found %s%s"):format(prefix(what), a, b, found ~= 0 and cut(found, expected) or ""))
  end
end

local function tag(value)
  return integer(value) and ("0x%02x"):format(value) or show(value)
end

--- A steering tag must be that one (nil for none).
function expect.tag(found, expected, what)
  if found == expected then
    return
  end
  case.fail(("%sexpected %s, found %s%s"):format(prefix(what), tag(expected), tag(found), cut(found, expected)))
end

--- `found` must not equal `other`.
function expect.different(found, other, what)
  if found == other then
    case.fail(("%sfound %s, which it must not be"):format(prefix(what), show(found)))
  end
end

--- `value` must be neither nil nor false.
function expect.truthy(value, what)
  if not value then
    case.fail(("%sfound %s"):format(prefix(what), show(value)))
  end
end

--- Two strings of bytes must be the same; the first difference is told with its offset.
function expect.bytes(found, expected, what)
  if found == expected then
    return
  end
  for i = 1, math.min(#found, #expected) do
    local a, b = found:byte(i), expected:byte(i)
    if a ~= b then
      case.fail(("%sbyte %d (0x%x): expected 0x%02x, found 0x%02x"):format(prefix(what), i - 1, i - 1, b, a))
    end
  end
  case.fail(("%sexpected %d bytes, found %d"):format(prefix(what), #expected, #found))
end

--- Calling `fn` must fail with that errno ("EINVAL"); returns the error.
function expect.errno(name, fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then
    case.fail(("expected %s, but the call succeeded"):format(name))
  end
  if type(err) ~= "table" or err.name == nil then
    error(err, 0)
  end
  if err.name ~= name then
    case.fail(("expected %s, found %s"):format(name, tostring(err)))
  end
  return err
end

--- Calling `fn` must fail with a message that contains `text`; returns the error.
function expect.error(text, fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then
    case.fail(("expected an error with %q, but the call succeeded"):format(text))
  end
  if not tostring(err):find(text, 1, true) then
    case.fail(("expected an error with %q, found %s"):format(text, tostring(err)))
  end
  return err
end

return expect
