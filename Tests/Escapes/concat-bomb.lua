-- a string doubled until memory ends, by table.concat and ..
local s = "0123456789" while true do s = table.concat({ s, s, s .. s }) end
