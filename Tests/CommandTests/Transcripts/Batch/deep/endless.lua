-- Says nothing of itself: it never comes back from being loaded, nor from being run.
return {
  name = "endless",
  timeout = 0.3,
  tags = { "slow" },
  cases = {
    { "never ends", function()
      while true do
      end
    end },
  },
}
