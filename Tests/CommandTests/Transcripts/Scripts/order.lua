-- Cases that a loop makes, and a matrix.
local cases = {}
for _, size in ipairs { 64, 1024, 4096 } do
  cases[#cases + 1] = { "size " .. size, function(t, opt)
    t:metric("time of " .. size, size * 1e6 + opt.more, { unit = "ns", better = "lower" })
  end }
end
return {
  name = "order",
  options = { more = { type = "size", default = "1K" }, size = { type = "size", default = 64 } },
  matrix = { size = { "64", "512", "1K", "16K" } },
  cases = cases,
}
