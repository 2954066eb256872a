--- Objects that are opened one after the other and closed together.
local closing = {}

--- A class whose objects keep what they open. Each is made by `closing.open`, and has `keep(object)` and `close()`.
function closing.class()
  local class = {}
  class.__index = class

  --- Closes all of it, last made first; twice is harmless. What cannot be closed keeps nothing else from it.
  function class:close()
    local object = table.remove(self.opened)
    if object then
      local _rest <close> = self
      object:close()
    end
  end
  class.__close = class.close

  --- Keeps an object until all is closed; returns it.
  function class:keep(object)
    self.opened[#self.opened + 1] = object
    return object
  end

  return class
end

--- An object of a class, filled by `fill(object)`; where that fails, what it has kept is closed again.
function closing.open(class, fill)
  local self = setmetatable({ opened = {} }, class)
  local ok, err = pcall(fill, self)
  if not ok then
    local _failed <close> = self
    error(err, 0)
  end
  return self
end

return closing
