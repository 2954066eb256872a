-- addresses instead of bytes in an ioctl: a pointer of the script's own choice
local sys = require "sys"
local dev <close> = require("vfio").open("0000:01:00.0")
for _, address in ipairs { 0, 1, 0x400000, 0x7fffffffe000, math.mininteger, -1 } do for _, name in ipairs { "VFIO_DEVICE_GET_INFO", "VFIO_DEVICE_FEATURE", "VFIO_DEVICE_GET_REGION_INFO" } do print(name, sys.ioctl(dev:fd(), name, address).name) end end
