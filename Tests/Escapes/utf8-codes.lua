-- utf8 functions on continuation bytes without end (Lua 5.4.4's bug 8)
-- run: --timeout 5s
for _, s in ipairs { "\x80", "\xff\xff", "\xf7\xbf\xbf\xbf", ("\x80"):rep(1 << 16) } do print(pcall(function() for _, c in utf8.codes(s) do print(c) end end), pcall(utf8.len, s), pcall(utf8.offset, s, 1, 1)) end
