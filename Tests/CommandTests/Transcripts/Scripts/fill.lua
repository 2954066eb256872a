-- Tries to fill a BAR, by reading alone: a page of the model's is there from the first access on.
local vfio = require "vfio"
local dev <close> = vfio.open("0000:01:00.0")
local bar <close> = dev:mmap(2)
for place = 0, bar:length() - (1 << 20), 1 << 20 do
  bar:read(place, 1 << 20)
end
