-- a message handler that loops, and one that raises
-- run: --timeout 1s
while true do xpcall(error, function() while true do end end) end
