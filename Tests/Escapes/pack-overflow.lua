-- struct's overflows (CVE-2018-11219 in Redis): sizes and alignments of string.pack
for _, format in ipairs { "i17", "!32i8", "s16", "c" .. (1 << 62), "c9223372036854775808", ("i8"):rep(1 << 16), "!1Xi16", "Xi99" } do
  print(pcall(string.pack, format, 1), pcall(string.unpack, format, "x"), pcall(string.packsize, format))
end
pcall(string.unpack, "s8", ("\xff"):rep(8)) pcall(string.unpack, "c4", "abc", math.mininteger)
