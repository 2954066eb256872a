-- Memory is touched in ways that its protection forbids.
local sys = require "sys"
return {
    name = "protections",
    cases = {
        { "one", function()
            local file <close> = sys.memfd(4096)
            for protection = 0, 1 do
                local map <close> = sys.mmap(file:fd(), { length = 4096, prot = protection })
                print(pcall(function() return #map:read(0, 2) end))
                print(pcall(function() map:write(0, "x") end))
                print(pcall(function() map:fill(1, 5, 1) end))
            end
        end },
    },
}
