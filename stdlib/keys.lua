--- Names of tables' fields: a function's table of options is checked, and an object tells which fields it has.
local case = require "case"

local keys = {}

--- An error's text for a name that none of `known` is: the nearest one, where one is near.
local function suggestion(word, known)
  local near = case.nearest(tostring(word):sub(1, 200), known)
  return near and ("; did you mean '%s'?"):format(near) or ""
end

--- Whether an option's value is of its kind; nil, or what it must be.
local function mistake(kind, value)
  if kind == "size" then
    return type(value) ~= "string" and math.type(value) ~= "integer" and "a number of bytes or text such as \"64K\"" or nil
  elseif kind == "callback" then
    return value and type(value) ~= "function" and "a function or false" or nil
  elseif type(kind) == "table" then
    local is_inside = math.type(value) == "integer" and value >= kind[1] and value <= kind[2]
    return not is_inside and ("an integer %d to %d"):format(kind[1], kind[2]) or nil
  end
  return type(value) ~= kind and "a " .. kind or nil
end

local function shown(value)
  if type(value) == "string" then
    return ("'%s'"):format(value)
  end
  return type(value) == "number" and tostring(value) or "a " .. type(value)
end

--- Checks a table of options; an error names the line that calls the function `what`. `kinds` has what each key's value
--- is: a type's name, "size", "callback" (a function, or false), or an integer's limits `{ 1, 256 }`. `renamed` has
--- names of earlier versions with today's.
---@param what string
---@param options table
---@param kinds table<string, string|integer[]>
---@param renamed? table<string, string>
function keys.check(what, options, kinds, renamed)
  if type(options) ~= "table" then
    error(("%s: the options must be a table, not a %s"):format(what, type(options)), 3)
  end
  for key, value in pairs(options) do
    local kind = kinds[key]
    if renamed and renamed[key] then
      error(("%s: unknown key '%s': since version 0.2 it is called '%s'"):format(what, key, renamed[key]), 3)
    elseif not kind then
      local known = {}
      for name in pairs(kinds) do
        known[#known + 1] = name
      end
      table.sort(known)
      error(("%s: unknown key '%s'%s"):format(what, tostring(key), suggestion(key, known)), 3)
    end
    local expected = mistake(kind, value)
    if expected then
      error(("%s: '%s' must be %s, not %s"):format(
        what, key, expected, shown(value)), 3)
    end
  end
end

--- The function that a metatable has as `__index`, so that reading a name that is unknown is an error. `what` is the
--- object's name; `methods` are read through it; of `optional` fields those without a value are nil.
---@param what string
---@param methods? table
---@param optional? string[]
---@return fun(object: table, name: any): any
function keys.index(what, methods, optional)
  local is_optional = {}
  for _, name in ipairs(optional or {}) do
    is_optional[name] = true
  end
  return function(object, name)
    local method = methods and methods[name]
    if method ~= nil or is_optional[name] then
      return method
    end
    local known = {}
    for _, names in ipairs { object, methods or {}, is_optional } do
      for one in pairs(names) do
        if type(one) == "string" and one:sub(1, 2) ~= "__" then
          known[#known + 1] = one
        end
      end
    end
    table.sort(known)
    error(("%s has no '%s'%s"):format(what, tostring(name), suggestion(name, known)), 2)
  end
end

return keys
