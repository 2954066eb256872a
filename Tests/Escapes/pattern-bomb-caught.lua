-- the same in a loop that catches errors
-- run: --timeout 1s
while true do pcall(string.match, ("a"):rep(100), (".-"):rep(30) .. "b") end
