-- A finalizer's failure is the case's that made the object, never the case's during which Lua happens to collect.
local expect = require "expect"
local kept = {}

local function failing(text) return setmetatable({}, { __gc = function() error(text, 0) end }) end

return { name = "finalizers", cases = {
  { "leaves one that fails", function() failing("of this case") end },
  { "is innocent", function() for _ = 1, 300000 do local _ = {} end end },
  { "keeps one for later", function() kept[1] = failing("kept") end },
  { "lets it go", function()
    kept[1] = nil
    collectgarbage()
  end },
  { "fails in a coroutine", function()
    coroutine.wrap(function()
      local _a <close> = setmetatable({}, { __close = function() error("closing last", 0) end })
      local _b <close> = setmetatable({}, { __close = function() error("closing first", 0) end })
      expect.equal(1, 2)
    end)()
  end },
  { "keeps one to the end", function(t)
    kept[2] = failing("at the end")
    t:log(type(kept[2]))
  end },
} }
