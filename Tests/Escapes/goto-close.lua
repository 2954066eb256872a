-- goto out of blocks with to-be-closed variables and upvalues, which 5.4's code generator got wrong
for i = 1, 1000 do do local x <close> = setmetatable({}, { __close = function() end }) local f = function() return x, i end if i % 2 == 0 then goto next end f() end ::next:: end
