-- Bytes beyond 4 GiB of a BAR land there and nowhere else, whoever writes them.
local vfio, iommufd, rdma, memory = require "vfio", require "iommufd", require "rdma", require "memory"
local expect, pattern, edu = require "expect", require "pattern", require "engines.edu"

local G = 1 << 30
local PLACES = { 0, G, 4 * G, 5 * G, 64 * G, 127 * G }

--- Only the place written last has bytes.
local function check(dev, place, sent)
  for _, other in ipairs(PLACES) do
    local wanted = other == place and sent or ("\0"):rep(#sent)
    expect.bytes(dev:read(2, other, #sent), wanted, "the BAR at " .. other // G .. " GiB")
  end
  dev:write(2, place, ("\0"):rep(#sent))
end

return {
  name = "large", about = "a BAR of 128 GiB", effects = { "open", "region_write", "config_write", "dma" },
  cases = {
    ["by pread, by a mapping"] = function()
      local dev <close> = vfio.open("0000:01:00.0")
      local sent = pattern.bytes(4096, 1)
      for _, place in ipairs(PLACES) do
        dev:write(2, place, sent)
        check(dev, place, sent)
        local bar <close> = dev:mmap(2, { offset = place, length = 4096 })
        bar:write(0, sent)
        check(dev, place, sent)
        expect.bytes(bar:read(0, 4096), ("\0"):rep(4096), "the mapping sees what the device does")
      end
      local all <close> = dev:mmap(2)
      expect.equal(all:length(), 128 * G)
      all:write(97 * G, sent)
      expect.bytes(dev:read(2, 97 * G, 4096), sent)
    end,
    ["by an engine, by a NIC"] = function()
      local dev <close> = vfio.open("0000:01:00.0")
      local far <close> = vfio.open("0000:04:00.0")
      local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 128 * G } } }
      expect.equal(buf:length(), 128 * G)
      local context <close> = iommufd.open()
      local engine <close> = vfio.open("0000:02:00.0", { iommufd = context })
      local ioas <close> = context:alloc_ioas()
      engine:attach(ioas)
      local host <close> = memory.alloc(4096)
      ioas:map { memory = host, iova = 0x200000 }
      ioas:map_file { dmabuf = buf, offset = 5 * G, length = "64K", iova = 0x100000 }
      local sent = pattern.bytes(4096, 5)
      host:write(0, sent)
      edu.start(engine):copy(0x200000, 0x100000, 4096)
      check(dev, 5 * G, sent)
      engine:detach()

      local nic <close> = rdma.open("mlx5_0")
      local pd <close> = nic:alloc_pd()
      local cq <close> = nic:create_cq(16)
      local a <close> = pd:create_qp { send_cq = cq }
      local b <close> = pd:create_qp { send_cq = cq }
      a:connect { to = b:endpoint() }
      b:connect { to = a:endpoint() }
      local from <close> = pd:reg_mr { memory = host, access = { "local_write" } }
      local to <close> = pd:reg_dmabuf_mr { dmabuf = buf, length = 128 * G, access = { "local_write", "remote_write" } }
      for _, place in ipairs(PLACES) do
        a:post_send { opcode = "rdma_write", mr = from, length = 4096, remote_addr = to:addr() + place, rkey = to:rkey() }
        expect.equal(cq:wait(1, 1000)[1].status, "SUCCESS")
        check(dev, place, sent)
        expect.bytes(far:read(2, place, 4096), ("\0"):rep(4096), "the neighbour's BAR")
      end
    end,
  },
}
