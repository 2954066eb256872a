-- What a script opened, or was given, is its own; 3 is the file of results.
local sys = require "sys"

local F_DUPFD_CLOEXEC = 1030
local file = sys.memfd("4K")
local copy = sys.fcntl(file:fd(), F_DUPFD_CLOEXEC, 0).result
print(sys.write(file:fd(), "abc").result, sys.read(file:fd(), 3, 0).bytes, sys.read(copy, 3, 0).bytes)
sys.adopt(copy):close()
print(sys.read(copy, 3, 0).name, sys.write(999, "x").name, sys.write(-1, "x").name)
print(select(2, pcall(sys.write, 3, "x")).name)
print(select(2, pcall(sys.mmap, 3, { length = 4096 })).message)
local map = ("<I4I4I4i4I8I8I8"):pack(40, 0, 0, 3, 0, 4096, 0)
print(select(2, pcall(sys.ioctl, file:fd(), "IOMMU_IOAS_MAP_FILE", map)).message)
sys.adopt(file:fd()):close()
print(select(2, pcall(file.close, file)).message)
