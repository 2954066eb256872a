-- Cases that end as an option says, and measurements of another unit: what ab and results compare say of them.
local ends = { type = "enum", values = { "pass", "fail", "skip", "gone" }, default = "pass" }
local function case(name)
  return {
    name,
    function(t, opt)
      t:metric("lat " .. name, opt.v, { unit = opt.unit, better = opt.better ~= "" and opt.better or nil })
      for _ = 2, opt.times do
        t:metric("lat " .. name, opt.v, { unit = opt.unit, better = "lower" })
      end
      if opt[name] == "fail" then
        error("failing")
      elseif opt[name] == "skip" then
        t:skip("not now")
      end
    end,
  }
end
return {
  name = "cases",
  options = {
    a = ends,
    b = ends,
    v = { type = "number", default = 100 },
    unit = { type = "string", default = "ns" },
    better = { type = "string", default = "lower" },
    times = { type = "integer", default = 1 },
  },
  cases = { case("a"), case("b") },
}
