-- Closing never ends: that is this case's failure, and the next one does not run.
local expect = require "expect"

return { name = "late-closing", cases = {
  { "closes for ever", function()
    local _x <close> = setmetatable({}, { __close = function() while true do end end })
    expect.equal(1, 2)
  end },
  { "comes after it", function() end },
} }
