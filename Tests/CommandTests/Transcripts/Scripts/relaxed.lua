-- Whether a NIC's requests to a peer carry the relaxed ordering attribute: the region must ask for it, and the function's
-- device control register allow it.
local rdma, memory, vfio, bench, sys = require "rdma", require "memory", require "vfio", require "bench", require "sys"

local context <close> = rdma.open(rdma.devices()[1])
local pd <close> = context:alloc_pd()
local cq <close> = context:create_cq(64)
local a <close> = pd:create_qp { send_cq = cq }
local b <close> = pd:create_qp { send_cq = cq }
a:connect { to = b:endpoint() }
b:connect { to = a:endpoint() }
local exporter <close> = vfio.open("0000:01:00.0")
local buf <close> = exporter:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = "64K" } } }
local host <close> = memory.alloc("64K")
local from <close> = pd:reg_mr { memory = host, access = { "local_write" } }

local function show(what, access)
  local to <close> = pd:reg_dmabuf_mr { dmabuf = buf, length = "64K", access = access }
  bench.clear_tlps()
  for _, opcode in ipairs { "rdma_write", "rdma_read" } do
    a:post_send { opcode = opcode, mr = from, length = 64, remote_addr = to:addr(), rkey = to:rkey() }
    assert(cq:wait(1, 1000)[1].status == "SUCCESS")
  end
  local line = {}
  for _, request in ipairs(bench.tlps { target = "0000:01:00.0" }) do
    line[#line + 1] = ("%s %s %08x"):format(request.kind, request.relaxed_ordering, request.words and request.words[1] or 0)
  end
  print(what .. ": " .. table.concat(line, ", "))
  print(#bench.tlps { relaxed_ordering = true } .. " with it")
end

local plain = { "local_write", "remote_write", "remote_read" }
local relaxed = { "local_write", "remote_write", "remote_read", "relaxed_ordering" }
show("without", plain)
show("with", relaxed)

-- Enable Relaxed Ordering, bit 4 of the device control register: the Express capability is at 0x60.
local config <close> = sys.open("/sys/bus/pci/devices/0000:03:00.0/config", 2)
local control = ("<I2"):unpack(sys.read(config:fd(), 2, 0x68).bytes)
sys.write(config:fd(), ("<I2"):pack(control & ~0x10), 0x68)
show("with, which the function may not", relaxed)
sys.write(config:fd(), ("<I2"):pack(control), 0x68)
show("with, which it may again", relaxed)
