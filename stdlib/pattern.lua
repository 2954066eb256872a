--- Test data that is easy to recognise and unlikely to appear by accident.
local pattern = {}

--- `length` bytes from a linear congruential generator; the same seed gives the same bytes.
---@param length integer
---@param seed? integer
---@return string
function pattern.bytes(length, seed)
  local state, out = (seed or 1) & 0xffffffff, {}
  for i = 1, length do
    state = (state * 1664525 + 1013904223) & 0xffffffff
    out[i] = string.char(state >> 24)
  end
  return table.concat(out)
end

return pattern
