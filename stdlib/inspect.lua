--- Tables as readable text, for `t:log` and `print`, which show a table's address alone.
local keys = require "keys"

local inspect = {}

local LIMITS <const> = { depth = 6, entries = 200, length = 200, width = 100 }
local ANY <const> = { 0, math.maxinteger }
local KINDS <const> = { depth = ANY, entries = ANY, length = ANY, width = ANY }

--- Quotes any bytes; long ones are cut.
local function quoted(bytes, most)
  local text = '"' .. bytes:sub(1, most):gsub('[\\"]', "\\%0"):gsub("[^%g ]", function(byte)
    return byte == "\n" and "\\n" or ("\\x%02x"):format(byte:byte())
  end) .. '"'
  return #bytes <= most and text or ("%s... (%d bytes)"):format(text, #bytes)
end

--- The text that a table's metatable makes of it; nil where it has none.
local function own_text(value)
  local ok, text = pcall(tostring, value)
  return ok and not text:find("^[^:]+: 0x%x+$") and text or nil
end

local RANK <const> = { number = 1, string = 2 }

--- Keys of a table that are not those of its sequence: numbers first, then names, each in their order.
local function sorted_keys(value, count)
  local sorted = {}
  for key in next, value do
    if math.type(key) ~= "integer" or key < 1 or key > count then
      sorted[#sorted + 1] = key
    end
  end
  table.sort(sorted, function(a, b)
    local rank = RANK[type(a)] or 3
    if rank ~= (RANK[type(b)] or 3) then
      return rank < (RANK[type(b)] or 3)
    elseif rank < 3 then
      return a < b
    end
    return tostring(a) < tostring(b)
  end)
  return sorted
end

local function key_text(key, limits)
  if type(key) == "string" and key:find("^[%a_][%w_]*$") then
    return key
  end
  return "[" .. (type(key) == "string" and quoted(key, limits.length) or tostring(key)) .. "]"
end

local show

--- Parts of a table, each "value" or "key = value".
local function parts(value, limits, state, depth)
  local found = {}
  local function add(prefix, item, place)
    if state.left == 0 then
      found[#found + 1] = "..."
      return false
    end
    state.left = state.left - 1
    local before = state.path
    state.path = before .. place
    found[#found + 1] = prefix .. show(item, limits, state, depth + 1)
    state.path = before
    return true
  end
  local count = rawlen(value)
  for i = 1, count do
    if not add("", rawget(value, i), ("[%d]"):format(i)) then
      return found
    end
  end
  for _, key in ipairs(sorted_keys(value, count)) do
    local name = key_text(key, limits)
    if not add(name .. " = ", rawget(value, key), name:find("^%[") and name or "." .. name) then
      return found
    end
  end
  return found
end

function show(value, limits, state, depth)
  if type(value) == "string" then
    return quoted(value, limits.length)
  elseif type(value) ~= "table" then
    return tostring(value)
  end
  local text = own_text(value)
  if text then
    return text
  elseif state.above[value] then
    return "<the same as " .. state.above[value] .. ">"
  elseif next(value) == nil then
    return "{}"
  elseif depth == limits.depth then
    return "{ ... }"
  end
  state.above[value] = state.path
  local found = parts(value, limits, state, depth)
  state.above[value] = nil
  local line = "{ " .. table.concat(found, ", ") .. " }"
  if #line + 2 * depth <= limits.width and not line:find("\n") then
    return line
  end
  local indent = ("  "):rep(depth)
  return "{\n" .. indent .. "  " .. table.concat(found, ",\n" .. indent .. "  ") .. ",\n" .. indent .. "}"
end

--- Text of a value: a table's sequence, then its other keys in order, on one line where that is short. A table with a
--- text of its own, such as an error, is that; one inside of itself is named by its place. `limits`: `depth` of tables
--- that are shown (6), `entries` in all (200), `length` of a string (200), `width` of a line (100).
function inspect.text(value, limits)
  keys.check("inspect.text", limits or {}, KINDS)
  local all = {}
  for name, fallback in pairs(LIMITS) do
    all[name] = fallback
  end
  for name, limit in pairs(limits or {}) do
    all[name] = limit
  end
  return show(value, all, { left = all.entries, above = {}, path = "the whole" }, 0)
end

return inspect
