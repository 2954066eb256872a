-- an endless loop that catches the interruption (every 'timeout by error' sandbox)
-- run: --timeout 1s
while true do pcall(function() while true do end end) end
