---@meta memory
-- Written by `peerlab stubs memory`.

---Host memory for DMA and registration.
---@class memory
local memory = {}

---Zeroed memory of this process.
--- * `ENOMEM`: not that much memory, or not so many huge pages set aside
---@param length integer|string bytes; rounded up to pages by the kernel
---@param page_size? ("4K"|"2M"|"1G") of its pages; of huge ones the length becomes a multiple
---@return memory.mapping
function memory.alloc(length, page_size) end

---Memory mapped into this process: host memory, or a device's region.
---@class memory.mapping
local memory_mapping = {}

---Copies bytes out.
--- * `EINVAL`: outside the mapping
--- * `EIO`: the device does not answer
---@param offset integer|string byte offset
---@param length integer|string bytes
---@return string
function memory_mapping:read(offset, length) end

---Copies bytes in.
--- * `EINVAL`: outside the mapping
--- * `EIO`: the device does not answer
---@param offset integer|string byte offset
---@param bytes string what to write
function memory_mapping:write(offset, bytes) end

---Sets bytes to a value.
--- * `EINVAL`: outside the mapping
---@param offset integer|string byte offset
---@param length integer|string bytes
---@param byte integer the value
function memory_mapping:fill(offset, length, byte) end

---The virtual address of its first byte.
---@return integer
function memory_mapping:addr() end

---Bytes.
---@return integer
function memory_mapping:length() end

---Closes it; twice is harmless.
function memory_mapping:close() end

return memory
