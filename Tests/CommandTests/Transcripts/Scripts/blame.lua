-- The first case leaves a device open, and the third one fails of it.
local vfio = require "vfio"
local kept = {}
return {
  name = "blame", about = "which case left something open",
  cases = {
    ["first leaks"] = function() kept.device = vfio.open("0000:01:00.0") end,
    ["second is innocent"] = function() assert(kept.device:fd() >= 0) end,
    ["third wants the device"] = function() vfio.open("0000:01:00.0") end,
  },
}
