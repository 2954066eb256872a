-- a result nested a hundred thousand times, sent to the host to copy
local t = {} for _ = 1, 100000 do t = { t } end
return { cases = { fine = function() end }, tags = t }
