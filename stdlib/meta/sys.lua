---@meta sys
-- Written by `peerlab stubs sys`.

---The system calls themselves, for requests that no typed function makes.
---@class sys
local sys = {}

---ioctl(2) with bytes of your own, which end at an unreadable page. Never raises for the kernel's answer.
---Changes: raw.
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
---Changes: raw.
--- * `ENOENT`: no such file
---@param path string absolute path
---@param flags? integer default O_RDWR|O_CLOEXEC
---@return sys.file
function sys.open(path, flags) end

---Takes over a descriptor, so that it is closed.
---Changes: raw.
---@param fd integer a descriptor that sys.ioctl returned
---@return sys.file
function sys.adopt(fd) end

---The monotonic clock in nanoseconds; virtual on the simulated bench.
---@return integer
function sys.now() end

---Sleeps; on the simulated bench its clock jumps.
---@param duration_ms integer|string how long
function sys.sleep(duration_ms) end

---read(2) or pread(2).
---Changes: raw.
---@param fd integer a descriptor
---@param length integer|string bytes
---@param offset? integer where pread(2) begins; default: read(2), at the file's position
---@return sys.result
function sys.read(fd, length, offset) end

---write(2) or pwrite(2).
---Changes: raw.
---@param fd integer a descriptor
---@param bytes string what to write
---@param offset? integer where pwrite(2) begins; default: write(2), at the file's position
---@return sys.result
function sys.write(fd, bytes, offset) end

---lseek(2).
---Changes: raw.
---@param fd integer a descriptor
---@param offset integer bytes
---@param whence integer SEEK_SET 0, SEEK_CUR 1, SEEK_END 2
---@return sys.result
function sys.seek(fd, offset, whence) end

---fcntl(2).
---Changes: raw.
---@param fd integer a descriptor
---@param command integer F_GETFD 1, F_GETFL 3, ...
---@param argument? integer a number
---@return sys.result
function sys.fcntl(fd, command, argument) end

---poll(2) of one descriptor without waiting; the result is its events.
---Changes: raw.
---@param fd integer a descriptor
---@param events integer POLLIN 1, POLLOUT 4, ...
---@return sys.result
function sys.poll(fd, events) end

---the mapping
---@class sys.mmap.request
---@field length integer|string bytes
---@field offset? integer where it begins
---@field prot? integer PROT_READ 1, PROT_WRITE 2; default both
---@field flags? integer default MAP_SHARED

---mmap(2) at an address of the kernel's choice. What its protection forbids answers EFAULT.
---Changes: raw.
--- * `EINVAL`: not mappable, or not like this
---@param fd integer a descriptor
---@param request sys.mmap.request the mapping
---@return memory.mapping
function sys.mmap(fd, request) end

---memfd_create(2) and ftruncate(2): an anonymous file.
---Changes: raw.
--- * `ENOMEM`: not that much memory
---@param length integer|string bytes
---@param flags? integer MFD_ALLOW_SEALING 2 (default), MFD_HUGETLB 4
---@return sys.file
function sys.memfd(length, flags) end

---eventfd(2).
---Changes: raw.
---@param initval? integer what it starts with
---@return sys.file
function sys.eventfd(initval) end

---readlink(2).
--- * `ENOENT`: no such file
--- * `EINVAL`: no link
---@param path string absolute path
---@return string
function sys.readlink(path) end

---A file opened by path.
---@class sys.file
local sys_file = {}

---Its descriptor.
---@return integer
function sys_file:fd() end

---Closes it; twice is harmless.
function sys_file:close() end

---What a system call answered.
---@class sys.result
---@field result integer what it returned; -1 where it failed
---@field errno integer why it failed; 0 where it did not
---@field name? string the errno's name: "EINVAL"
---@field bytes? string what it read, or the request's bytes afterwards

return sys
