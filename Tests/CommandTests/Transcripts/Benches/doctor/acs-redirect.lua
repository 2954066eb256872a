-- The switch's ports redirect peer-to-peer requests to the host bridge, as firmware sets them for virtual machines.
return require "doctor_machine"("acs-redirect", function(bench)
  bench.ports[3].acs, bench.ports[4].acs = { "rr", "cr" }, { "rr", "cr" }
end)
