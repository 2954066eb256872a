-- Nothing is in the way.
return require "doctor_machine"("fine")
