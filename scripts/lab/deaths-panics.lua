local sys = require "sys"

local function put(path, text)
  local file <close> = sys.open(path, 1)
  sys.write(file:fd(), text)
end

return {
  name = "deaths-panics",
  about = "a kernel that panics and ends the machine",
  effects = { "raw" },
  cases = {
    ["fine"] = function(t)
      t:log "ok"
      t:metric("m", 1)
    end,
    ["panics"] = function()
      put("/proc/sysrq-trigger", "c")
    end,
    ["never"] = function() end,
  },
}
