local sys = require "sys"

local function put(path, text)
  local file <close> = sys.open(path, 1)
  sys.write(file:fd(), text)
end

return {
  name = "deaths-halts",
  about = "a kernel that panics and halts its processors",
  effects = { "raw" },
  cases = {
    ["fine"] = function(t)
      t:log "ok"
      t:metric("m", 1)
    end,
    ["halts"] = function()
      put("/proc/sys/kernel/panic", "0")
      put("/proc/sysrq-trigger", "c")
    end,
    ["never"] = function() end,
  },
}
