return {
  name = "skips",
  tags = { "slow" },
  cases = {
    { "one", function(t)
      t:skip "not here"
    end },
  },
}
