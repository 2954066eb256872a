-- A function whose memory is larger than what a script may have.
return {
  name = "wide",
  devices = {
    {
      address = "0000:01:00.0", id = "1af4:1110", class = 0x050000, group = 1,
      bars = { { index = 2, size = "2G", bits = 64, prefetchable = true } },
    },
  },
}
