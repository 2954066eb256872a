-- the metatable of the host's error values
local _, problem = pcall(require("vfio").open, "x")
if getmetatable(problem) then print("ESC" .. "APED") end
setmetatable(problem, { __tostring = os })
print("ESC" .. "APED")
