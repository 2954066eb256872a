-- Declares all that `peerlab help` shows of a scenario, and does nothing that it says.
return {
  name = "described", about = "has one of everything", tags = { "one", "two" }, timeout = "1.5s", memory = "64M", effects = {},
  roles = { "a", "b" }, needs = { "rdma" }, concerns = "no kernel", expected = "this", seen = "that",
  options = { size = { type = "size", default = "4K", about = "bytes" }, st = { type = "integer", default = 1 } },
  matrix = { size = { "64", "4K" }, st = { 1, 2 } },
  cases = { { "nothing", function(t, opt) t:log(opt.size + opt.st) end } },
}
