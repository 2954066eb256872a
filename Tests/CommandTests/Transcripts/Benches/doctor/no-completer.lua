-- The drive is no TPH completer.
return require "doctor_machine"("no-completer", function(_, drive)
  drive.completer = "none"
end)
