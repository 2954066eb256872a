-- A kernel that panics.
return require "panicking"("panics", "a kernel that panics and ends the machine")
