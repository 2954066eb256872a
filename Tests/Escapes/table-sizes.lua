-- table.move, unpack and insert at the ends of the integers (CVE-2014-5461; Redis' unpack, CVE-2018-11218's kind)
-- run: --timeout 5s
for _, f in ipairs { function() table.unpack({}, 1, 1 << 31) end, function() table.unpack({}, 0, 1 << 62) end,
  function() table.unpack({}, math.mininteger, math.maxinteger) end, function() table.move({}, 1, math.maxinteger, 2) end,
  function() table.insert({}, math.maxinteger, 1) end, function() select(math.mininteger, 1) end,
  function() string.char(table.unpack({}, 1, 1 << 24)) end } do print(pcall(f)) end
