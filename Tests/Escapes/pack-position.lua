-- string.unpack and utf8 functions at positions outside (CVE-2018-11219's offset)
for _, at in ipairs { math.mininteger, -1 << 40, 1 << 40, math.maxinteger } do print(pcall(string.unpack, "i8", "x", at), pcall(utf8.codepoint, "x", at), pcall(string.sub, "x", at, -at), pcall(string.byte, ("x"):rep(99), 1, at)) end
