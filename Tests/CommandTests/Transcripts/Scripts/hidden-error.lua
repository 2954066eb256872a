-- A check fails while a device is attached, and what closes behind it is refused.
local vfio, iommufd, expect = require "vfio", require "iommufd", require "expect"
return {
  name = "hidden-error",
  cases = {
    { "a check fails", function()
      local context <close> = iommufd.open()
      local engine <close> = vfio.open("0000:02:00.0", { iommufd = context })
      local ioas <close> = context:alloc_ioas()
      engine:attach(ioas)
      expect.equal(1, 2, "the interesting result")
    end },
  },
}
