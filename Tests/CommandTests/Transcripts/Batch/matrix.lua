-- Two options with two values each; what is measured depends on both.
return {
  name = "matrix",
  tags = { "quick", "tph" },
  options = { size = { type = "size", default = 64 }, st = { type = "integer", default = 1 } },
  matrix = { size = { "64", "4K" }, st = { 1, 2 } },
  cases = {
    { "measures", function(t, opt)
      t:metric("speed", opt.size * opt.st, { unit = "B/s", better = "higher", size = opt.size, st = opt.st })
    end },
  },
}
