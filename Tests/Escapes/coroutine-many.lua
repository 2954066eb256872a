-- coroutines without end, each with a stack
-- run: --timeout 20s --memory 64M
local all = {}
while true do all[#all + 1] = coroutine.create(function() end) coroutine.resume(all[#all]) end
