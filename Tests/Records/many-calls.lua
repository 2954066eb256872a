-- 200 calls and more, of which a few make one that is refused with EEXIST: what `peerlab minimise` is tested with.
local vfio, iommufd, memory = require "vfio", require "iommufd", require "memory"

return {
  name = "many-calls",
  about = "host memory mapped twice at one address, among much else",
  effects = { "open", "dma" },
  options = { exporter = { type = "pci", default = "auto", memory = "64K", about = "device whose BAR is exported" } },
  needs = { "vfio.dma_buf" },
  cases = {
    { "one address twice", function(t, opt)
      local dev <close> = vfio.open(opt.exporter)
      local fd <close> = iommufd.open()
      local ioas <close> = fd:alloc_ioas()
      local host <close> = memory.alloc(0x4000)
      for round = 1, 32 do
        local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0x1000 * (round % 8), length = 0x1000 } } }
        local place = 0x100000 + 0x10000 * round
        local mapped = ioas:map_file { dmabuf = buf, iova = place, length = 0x1000 }
        local plain = ioas:map { memory = host, iova = place + 0x8000, length = 0x1000 }
        if round == 17 then
          local ok, err = pcall(ioas.map, ioas, { memory = host, iova = place + 0x8000, length = 0x2000 }) ---@type boolean, any
          t:log(ok and "mapped twice" or err.name)
        end
        ioas:unmap(plain, 0x1000)
        ioas:unmap(mapped, 0x1000)
      end
    end },
  },
}
