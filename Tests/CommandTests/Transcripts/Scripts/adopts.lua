-- A dma-buf of another exporter: registered, and refused by those who take VFIO's alone.
local dmabuf, sys, rdma, iommufd, expect =
  require "dmabuf", require "sys", require "rdma", require "iommufd", require "expect"

local UDMABUF_CREATE, F_ADD_SEALS, F_SEAL_SHRINK <const> = 0x40187542, 1033, 2

return {
  name = "adopts",
  about = "a dma-buf of udmabuf is adopted",
  options = { nic = { type = "rdma", default = "auto" } },
  effects = { "open", "raw", "dma" },
  cases = { { "a udmabuf", function(t, opt)
    local device <close> = sys.open "/dev/udmabuf"
    local memory <close> = sys.memfd "32K"
    sys.fcntl(memory:fd(), F_ADD_SEALS, F_SEAL_SHRINK)
    local made = sys.ioctl(device:fd(), UDMABUF_CREATE, string.pack("<I4I4I8I8", memory:fd(), 1, 0, 32768))
    local fd <close> = sys.adopt(made.result)
    local buf <close> = dmabuf.adopt(fd:fd())
    local info = buf:info()
    t:log(("%s: %d bytes of %s, %d files"):format(tostring(buf), buf:length(), info.exporter, info.count))
    local nic <close> = rdma.open(opt.nic)
    local pd <close> = nic:alloc_pd()
    local mr <close> = pd:reg_dmabuf_mr { dmabuf = buf, length = "32K", access = { "local_write" } }
    expect.equal(mr:length(), 32768, "the region's length")
    local context <close> = iommufd.open()
    local ioas <close> = context:alloc_ioas()
    expect.errno("EOPNOTSUPP", ioas.map_file, ioas, { dmabuf = buf, iova = 0x100000, length = "32K" })
    t:log(select(2, pcall(buf.set_tph, buf, { st = 1, ph = "target" })))
    for _, number in ipairs { memory:fd(), 999, 2 } do
      t:log(select(2, pcall(dmabuf.adopt, number)))
    end
  end } },
}
