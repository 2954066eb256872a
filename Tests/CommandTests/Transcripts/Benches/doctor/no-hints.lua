-- TPH is switched off, and the NIC's root port completes no hints.
return require "doctor_machine"("no-hints", function(bench)
  bench.kernel.command_line = "ro pci=noaer,notph"
  bench.ports[1].completer = "none"
end)
