-- Tries every number that a file of the program's own could have.
local sys = require "sys"

local F_DUPFD, FIONBIO = 0, 0x5421
for fd = 0, 20 do
  pcall(sys.write, fd, "\nforged\n")
  pcall(sys.ioctl, fd, FIONBIO, "\1\0\0\0")
  pcall(sys.fcntl, fd, F_DUPFD)
  local ok, file = pcall(sys.adopt, fd)
  if ok then
    pcall(file.close, file)
  end
end
print "done"
