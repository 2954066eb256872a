-- The standard bench with the exporter and the ConnectX below one switch, without ACS redirection.
return require "benches.machine"("below-switch", { release = "7.3.4", tph = "v2", tph_feature = 13 }, {
  ports = {
    { address = "0000:00:01.0" },
    { address = "0000:00:02.0" },
    { address = "0000:04:00.0", parent = "0000:00:01.0" }, -- the switch's upstream port
    { address = "0000:05:00.0", parent = "0000:04:00.0" },
    { address = "0000:05:01.0", parent = "0000:04:00.0" },
  },
  parents = { "0000:05:00.0", "0000:00:02.0", "0000:05:01.0" },
})
