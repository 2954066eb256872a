return {
  name = "known",
  options = { mended = { type = "boolean", default = false, about = "whether the bug is gone" } },
  expected_failures = { { case = "declared", reason = "the model has no such tag", bench = "sim" } },
  cases = {
    { "declared", function(_, opt)
      if not opt.mended then
        error("it is broken")
      end
    end },
    { "listed", function(t, opt)
      t:metric("speed", 100, { unit = "B/s", better = "higher", size = 64 })
      if not opt.mended then
        error("it is broken too")
      end
    end },
    { "passes", function(t) t:metric("time", 1500, { unit = "ns", better = "lower" }) end },
  },
}
