-- coroutine.close from within, and of one that is closing (Lua 5.4.2's crash)
local co
co = coroutine.create(function()
  local x <close> = setmetatable({}, { __close = function() pcall(coroutine.close, co) pcall(coroutine.resume, co) end })
  coroutine.yield()
end)
coroutine.resume(co) print(coroutine.close(co), coroutine.close(coroutine.create(print)))
