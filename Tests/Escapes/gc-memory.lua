-- a finalizer that runs in the midst of a host call and takes all memory, where errors cannot be raised
-- run: --timeout 5s --memory 256M
local vfio = require "vfio"
local hoard = {}
local function grow() hoard[#hoard + 1] = ("x"):rep(64 << 20) setmetatable({}, { __gc = grow }) end
setmetatable({}, { __gc = grow })
local dev <close> = vfio.open("0000:01:00.0")
for _ = 1, 100000 do dev:info() end
if #hoard > 8 then print("ESC" .. "APED") end
