-- a loop in coroutines that catch every error, the host's interruption too
-- run: --timeout 1s
while true do coroutine.resume(coroutine.create(function() while true do end end)) end
