-- for loops and divisions at the ends of the integers
for i = math.maxinteger - 1, math.maxinteger do print(i) end for i = math.mininteger, math.mininteger + 1 do print(i) end
print(math.mininteger // -1, math.mininteger % -1, pcall(function() return 1 // 0 end))
