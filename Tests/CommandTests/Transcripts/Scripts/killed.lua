-- One role waits for another, which is killed.
local sys = require "sys"
return {
    name = "killed",
    roles = { "a", "b" },
    cases = {
        { "waits", function(t)
            t:barrier()
            if t:role() == "a" then return t:receive("b", 60000) end
            print "ready"
            sys.sleep(60000)
        end },
        { "comes too late", function(t) t:barrier() end },
        { "asks nothing of the other", function() end },
    },
}
