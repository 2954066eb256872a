-- a table that holds itself, returned to a host that copies it
local t = { cases = { fine = function() end } } t.options = t t.matrix = t return t
