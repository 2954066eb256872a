---@meta sys
-- Written by `peerlab stubs sys`.

---The system calls themselves, for requests that no typed function makes.
---@class sys
local sys = {}

---ioctl(2) with bytes of your own, which end at an unreadable page. Never raises for the kernel's answer.
---@param fd integer a descriptor
---@param request any the number, or the name of a known request
---@param argument? any bytes whose address is passed, or an integer; default: 0
---@return sys.result
function sys.ioctl(fd, request, argument) end

---The number of a known request.
---@param name string "VFIO_DEVICE_RESET"
---@return integer
function sys.request(name) end

---open(2).
---@param path string absolute path
---@param flags? integer default O_RDWR|O_CLOEXEC
---@return sys.file
function sys.open(path, flags) end

---Takes over a descriptor, so that it is closed.
---@param fd integer a descriptor that sys.ioctl returned
---@return sys.file
function sys.adopt(fd) end

---The monotonic clock in nanoseconds; virtual on the simulated bench.
---@return integer
function sys.now() end

---Sleeps; on the simulated bench its clock jumps.
---@param milliseconds integer how long
function sys.sleep(milliseconds) end

---A file opened by path.
---@class sys.file
local sys_file = {}

---Its descriptor.
---@return integer
function sys_file:fd() end

---Closes it; twice is harmless.
function sys_file:close() end

return sys
