-- A kernel that panics and does not end the machine: nothing more is heard of it.
return require "panicking"("halts", "a kernel that panics and halts its processors", "0")
