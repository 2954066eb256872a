--- What `peerlab repl` has in Lua: the variables of a session, and the text of a line's results.
local case = require "case"
local inspect = require "inspect"

local repl = {}

local function absent(err)
  return tostring(err):find("require: no module", 1, true) ~= nil
end

--- The variables of a session. Modules are there by name, without `require`; `t` is the case, for `t:log`.
repl.environment = setmetatable({ t = case }, {
  __index = function(_, name)
    local known = rawget(_G, name)
    if known ~= nil then
      return known
    end
    local ok, module = pcall(require, name)
    if ok then
      return module
    elseif not absent(module) then
      error(module, 0)
    end
    -- Says that there is no such variable.
    return _G[name]
  end,
})

local VALUES <const>, LENGTH <const> = 100, 64 << 10

--- A value's text. Integers have their hexadecimal form beside them where it helps.
local function text(value)
  if math.type(value) == "integer" and (value > 255 or value < -255) then
    return ("%d (0x%x)"):format(value, value)
  end
  local whole = inspect.text(value)
  return #whole <= LENGTH and whole or ("%s... (%d bytes)"):format(whole:sub(1, LENGTH), #whole)
end

--- The text of a line's results.
function repl.shown(...)
  local results, parts = table.pack(...), {}
  for i = 1, math.min(results.n, VALUES) do
    parts[i] = text(results[i])
  end
  if results.n > VALUES then
    parts[#parts + 1] = ("... (%d values)"):format(results.n)
  end
  return table.concat(parts, "  ")
end

return repl
