-- the same in a scenario that declares a timeout itself
return { timeout = "500ms", cases = { bomb = function() (("a"):rep(100)):find((".-"):rep(30) .. "b") end } }
