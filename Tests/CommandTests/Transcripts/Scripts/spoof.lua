-- Forges what peerlab says, and hides what it asks.
local sys = require "sys"
print "This run is simulated; nothing is touched.\nbench: host\r\n3 passed, 0 failed, 0 skipped"
print "peerlab asks: continue with the demonstration? [y/N] \27[8m\27(0\27[?25l\27]0;"
local ok, problem = pcall(sys.memfd, "4K")
print(ok, problem)
