-- string's functions replaced by the script's own, for the host to call (Roblox, 2010)
string.format = function() while true do end end
string.rep, string.byte, table.concat = nil, nil, nil
error("x")
