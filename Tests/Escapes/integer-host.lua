-- integers outside their range in calls of the host
local vfio, memory, sys = require "vfio", require "memory", require "sys"
local dev <close> = vfio.open("0000:01:00.0")
for _, n in ipairs { -1, 1 << 31, 1 << 32, 1 << 40, math.maxinteger, math.mininteger, 0 / 0, 1 / 0, "0x" .. ("f"):rep(40) } do
  for _, f in ipairs { function() dev:read(2, n, n) end, function() dev:write(n, 0, "x") end, function() memory.alloc(n) end,
    function() dev:mmap(2, { offset = n, length = n }) end, function() sys.ioctl(n, n, n) end, function() sys.read(n, n) end,
    function() dev:export_dmabuf { region_index = 2, ranges = { { offset = n, length = n } } } end, function() dev:region_info(n) end,
    function() sys.fcntl(n, 0, n) end, function() dev:irq_info(n) end } do pcall(f) end
end
