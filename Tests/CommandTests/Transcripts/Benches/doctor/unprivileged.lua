-- The program is not root: sysfs shows it 64 bytes of configuration space.
return require "doctor_machine"("unprivileged", function(bench)
  bench.privileged = false
end)
