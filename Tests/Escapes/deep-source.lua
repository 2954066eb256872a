-- source nested so deep that the parser's C stack is full (CVE-2021-43519's family)
for _, s in ipairs { ("("):rep(1 << 16), ("{"):rep(1 << 16), "return " .. ("-"):rep(1 << 18) .. "1", ("do "):rep(1 << 16), "local a" .. (".a"):rep(1 << 18) } do print(load(s)) end
