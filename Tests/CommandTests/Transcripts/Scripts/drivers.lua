local vfio = require "vfio"
return {
    name = "drivers",
    options = {
        first = { type = "pci", default = "auto", id = "1af4:1110", about = "a device" },
        second = { type = "pci", default = "auto", id = "1af4:1110", about = "another one" },
    },
    cases = {
        { "both open", function(_, opt)
            local _first <close> = vfio.open(opt.first)
            local _second <close> = vfio.open(opt.second)
        end },
    },
}
