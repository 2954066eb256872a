-- tables that grow without end, while errors are caught
-- run: --memory 64M --timeout 20s
local t = {} while true do pcall(function() for i = 1, 1 << 20 do t[#t + 1] = { i } end end) if #t > 1 << 24 then print("ESC" .. "APED") break end end
