-- A scenario whose second case makes the kernel panic; with `panic` that /proc/sys/kernel/panic is first.
local sys = require "sys"

local function put(path, text)
  local file <close> = sys.open(path, 1)
  sys.write(file:fd(), text)
end

return function(name, about, panic)
  return {
    name = "deaths-" .. name,
    about = about,
    effects = { "raw" },
    cases = {
      { "fine", function(t)
        t:log "ok"
        t:metric("m", 1)
      end },
      { name, function()
        if panic then
          put("/proc/sys/kernel/panic", panic)
        end
        put("/proc/sysrq-trigger", "c")
      end },
      { "never", function() end },
    },
  }
end
