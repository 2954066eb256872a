-- The guest's way to its host is taken away: of a machine whose processors stand still no more is to be heard.
local sys = require "sys"

return {
  name = "deaths-silent",
  about = "a guest that is not heard of any more",
  effects = { "raw" },
  cases = {
    ["fine"] = function(t) t:log "ok" end,
    ["silent"] = function()
      for number = 0, 9 do
        pcall(function()
          local file <close> = sys.open("/sys/bus/virtio/drivers/virtio_console/unbind", 1)
          sys.write(file:fd(), "virtio" .. number)
        end)
      end
      sys.sleep(3600000)
    end,
    ["never"] = function() end,
  },
}
