-- the host's own open(2) on a machine's file: the simulated bench has files of its own
print(pcall(require("sys").open, "/etc/passwd", 0))
for _, path in ipairs { "../canary.txt", "/proc/self/environ", "/proc/self/mem", "/dev/mem" } do print(pcall(function() local f = require("sys").open(path, 0) print(require("sys").read(f:fd(), 4096).bytes) end)) end
