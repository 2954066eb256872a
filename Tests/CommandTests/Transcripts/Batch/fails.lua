return {
  name = "fails",
  tags = { "quick", "bad" },
  cases = {
    { "is equal", function()
      require("expect").equal(1, 2)
    end },
  },
}
