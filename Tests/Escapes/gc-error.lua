-- errors in finalizers at close, with values that cannot be shown
for i = 1, 50 do setmetatable({}, { __gc = function() error(setmetatable({}, { __tostring = function() error(i) end })) end }) end
