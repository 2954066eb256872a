--- Objects that are opened one after the other and closed together, in reverse order.
local keys = require "keys"

local scope = {}

---@class scope.scope
---@field opened table[] the objects, the first one first

--- A class of scopes, for scopes with further methods. `scope.open` makes each object; it has `keep` and `close`.
--- Reading a field that an object does not have is an error, which calls it `what`; of `optional` ones it is nil.
---@param what? string
---@param optional? string[]
---@return scope.scope
function scope.class(what, optional)
  ---@class scope.scope
  local class = {}
  class.__index = keys.index(what or "the scope", class, optional)

  --- Closes all objects, in reverse order; a second call does nothing. Where closing an object fails, the others are
  --- still closed, and its error is raised.
  function class:close()
    local object = self:forget()
    -- A loop where nothing fails, as each <close> in another one is a level of C, which has 200.
    while object do
      local ok, err = pcall(object.close, object)
      if not ok then
        local _rest <close> = self
        error(err, 0)
      end
      object = self:forget()
    end
  end
  class.__close = class.close

  --- Removes the last object from the scope without closing it; returns it.
  function class:forget()
    return table.remove(self.opened)
  end

  --- Keeps an object until the scope is closed; returns it.
  ---@generic T
  ---@param object T
  ---@return T
  function class:keep(object)
    self.opened[#self.opened + 1] = object
    return object
  end

  return class
end

local Scope = scope.class()

--- A scope, to be closed: `local opened <close> = scope.open()`. `fill(opened)` puts the first objects into it; where that fails,
--- they are closed again. `class` is one of `scope.class`.
---@generic T: scope.scope
---@param fill? fun(opened: T)
---@param class? T
---@return T
function scope.open(fill, class)
  local self = setmetatable({ opened = {} }, class or Scope)
  local ok, err = pcall(fill or function() end, self)
  if not ok then
    local _failed <close> = self
    error(err, 0)
  end
  return self
end

return scope
