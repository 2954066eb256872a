-- table.sort with a comparison that lies (invalid order function; reads outside the array in 5.1)
local t = {} for i = 1, 1000 do t[i] = i end for _ = 1, 200 do pcall(table.sort, t, function() return math.random() < 0.5 end) end
