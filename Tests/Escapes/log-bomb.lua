-- a report that grows without end
-- run: --timeout 20s
return { cases = { bomb = function(t) local line = ("x"):rep(1 << 20) while true do t:log(line) end end } }
