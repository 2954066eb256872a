-- patterns nested until the matcher's C stack is full (Redis' and nginx' reports of 2018)
-- run: --timeout 1s
pcall(string.find, ("a"):rep(1 << 16), ("(a?)"):rep(200)) pcall(string.find, ("x"):rep(300000), (".-"):rep(32) .. "y$")
