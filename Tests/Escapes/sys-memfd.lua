-- memfds of petabytes
local sys, all = require "sys", {} for i = 1, 2000 do local ok, file = pcall(sys.memfd, 1 << 50) if not ok then break end all[i] = file end
