-- What luacheck holds Lua files against: the globals that a scenario has, which are Lua 5.4's without those that reach beyond it.
std = "lua54"
not_globals = { "debug", "dofile", "io", "loadfile", "os", "package" }
globals = { "_ENV" }
max_line_length = false
-- A name that begins with "_" is for its <close> alone; a function of a table has the arguments of its kind.
ignore = { "211/_.*", "212" }
-- What tries to escape is bad on purpose.
exclude_files = { "Tests/Escapes" }
-- Stubs declare and use nothing (`peerlab stubs MODULE` writes them).
files["stdlib/meta"] = { ignore = { "211", "212", "241", "431" } }
