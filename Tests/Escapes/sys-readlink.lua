-- links of the machine, told by readlink(2)
for _, path in ipairs { "/proc/self/exe", "/proc/self/cwd", "/proc/self/fd/0" } do
  if pcall(require("sys").readlink, path) then print("ESC" .. "APED") end
end
