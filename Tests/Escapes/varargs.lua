-- a million arguments and results (luai_maxccalls, stack overflow in lua_checkstack)
-- run: --timeout 5s
print(pcall(string.char, table.unpack({}, 1, 1e6))) print(pcall(function(...) return select("#", ...) end, table.unpack({}, 1, 250000))) print(pcall(math.max, table.unpack(setmetatable({}, { __index = function() return 1 end }), 1, 999999)))
