-- a coroutine that resumes itself, and yields across pcall, gsub and sort
local co co = coroutine.wrap(function() co() end) pcall(co)
pcall(coroutine.wrap(function() ("x"):gsub(".", coroutine.yield) end))
pcall(coroutine.wrap(function() table.sort({ 3, 2, 1 }, coroutine.yield) end))
