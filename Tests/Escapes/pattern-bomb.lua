-- catastrophic backtracking, which no hook interrupts (ReDoS; Lua's find has no counter)
-- run: --timeout 1s
("a"):rep(40):find(("a-"):rep(30) .. "b")
