--- Objects that are opened one after the other and closed together, the last first.
local scope = {}

--- A class of scopes, for those that have methods of their own. Each object is made by `scope.open` and has `keep` and `close`.
function scope.class()
  local class = {}
  class.__index = class

  --- Closes all objects, the last first; a second call does nothing. An object that cannot be closed does not keep the others
  --- open, and its error is the one that is raised.
  function class:close()
    local object = self:forget()
    if object then
      local _rest <close> = self
      object:close()
    end
  end
  class.__close = class.close

  --- Forgets the object that was kept last, without closing it; returns it.
  function class:forget()
    return table.remove(self.opened)
  end

  --- Keeps an object until the scope is closed; returns it.
  function class:keep(object)
    self.opened[#self.opened + 1] = object
    return object
  end

  return class
end

local Scope = scope.class()

--- A scope, to be closed: `local opened <close> = scope.open()`. `fill(opened)` puts the first objects into it; where that fails,
--- they are closed again. `class` is one of `scope.class`.
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
