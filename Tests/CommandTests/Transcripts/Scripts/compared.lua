-- Measurements that depend on an option alone: what ab and results compare say of them.
return {
  name = "compared",
  options = { v = { type = "number", default = 0, about = "what is added" } },
  cases = {
    ["m"] = function(t, opt)
      t:metric("from zero", opt.v, { unit = "B/s", better = "higher" })
      t:metric("up", 100 + opt.v, { unit = "ns", better = "lower" })
      t:metric("neutral", 100 + opt.v)
      t:metric("negative", -100 - opt.v, { better = "higher" })
      t:metric("alike", 7, { better = "higher" })
      if opt.v > 5 then
        t:metric("new", 5)
      else
        t:metric("gone", 5, { better = "higher" })
      end
    end,
  },
}
