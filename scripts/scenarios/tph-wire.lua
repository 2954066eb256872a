-- What a hint becomes on the wire: a NIC writes through a memory region of an exporter's BAR, and its requests are looked
-- at on the links: a simulated bench's, or those of the lab's emulated NIC; with hardware that takes an analyzer. Where the
-- memory key tells, it must say the same.
local bench, expect, fixture = require "bench", require "expect", require "fixture"
local steering, pattern, loopback = require "steering", require "pattern", require "loopback"

local ACCESS = { "local_write", "remote_write", "remote_read" }

--- A case: `body(rig, opt)` with the open exporter and two connected queue pairs of the NIC.
local function case(body)
  return function(t, opt)
    if not steering.clear_requests() then
      t:skip("this bench sees no links: it takes an analyzer")
    end
    local mode, reason = steering.mode(opt.nic)
    if not mode then
      t:skip(opt.nic .. " sends no hints: " .. reason)
    end
    local f <close> = fixture.nic(opt)
    local nic <close> = loopback.open(f.context, f.pd)
    nic.host:write(0, pattern.bytes(256, 3))
    local rig = { t = t, dev = f.dev, mode = mode }

    function rig.export()
      return f:export()
    end

    function rig.set(buf, tag, ph)
      steering.set(opt.nic, buf, tag, ph)
    end

    function rig.register(buf)
      return f.pd:reg_dmabuf_mr { dmabuf = buf, length = 4096, access = ACCESS }
    end

    --- Has the NIC write 256 bytes to (or read them from) a region; returns its requests to the exporter.
    function rig.requests(mr, kind)
      bench.clear_tlps()
      nic:move("rdma_" .. (kind or "write"), mr)
      local list = bench.tlps { target = opt.exporter, kind = kind or "write" }
      expect.truthy(#list > 0, "requests reach the exporter")
      return list
    end

    --- Every request of a write must carry this tag and hint; nil for none.
    function rig.carries(mr, st, ph, kind)
      for _, request in ipairs(rig.requests(mr, kind)) do
        expect.tag(request.st, st, "tag of request " .. request.number)
        expect.equal(request.ph, ph, "processing hint of request " .. request.number)
      end
      local found = steering.seen { t = t, nic = opt.nic, mr = mr, exporter = opt.exporter, kind = kind, sent = true }
      if found then
        t:log(found.line)
      end
    end

    body(rig, opt)
  end
end

return {
  name = "tph-wire",
  about = "the hint of a dma-buf is in the requests of a NIC that writes through it, or is not",
  tags = { "tph", "rdma", "wire" },
  options = fixture.nic_options(),
  needs = { "vfio.dma_buf_tph", "rdma.reg_dmabuf_mr" },
  effects = { "open", "reset", "dma", "raw" },
  cases = {
    { "a write carries tag and hint", case(function(rig, opt)
      local buf <close> = rig.export()
      rig.set(buf, 0x42, "target")
      local mr <close> = rig.register(buf)
      rig.carries(mr, 0x42, "target")
      expect.bytes(rig.dev:read(opt.region, 0, 256), pattern.bytes(256, 3), "what was written")
    end) },
    { "a read carries them too", case(function(rig)
      local buf <close> = rig.export()
      rig.set(buf, 0x43, "requester")
      local mr <close> = rig.register(buf)
      rig.carries(mr, 0x43, "requester", "read")
    end) },
    { "without a hint nothing is carried", case(function(rig)
      local buf <close> = rig.export()
      local mr <close> = rig.register(buf)
      rig.carries(mr, nil, nil)
    end) },
    { "a tag set after registration is not used", case(function(rig)
      local buf <close> = rig.export()
      local early <close> = rig.register(buf)
      rig.set(buf, 0x44, "target")
      rig.carries(early, nil, nil)
      local late <close> = rig.register(buf)
      rig.carries(late, 0x44, "target")
      rig.carries(early, nil, nil)
    end) },
    -- v2 to v11: the page fault that maps the dma-buf again asks the exporter for no hint.
    { "a reset does not make the NIC ask again", case(function(rig)
      local buf <close> = rig.export()
      rig.set(buf, 0x45, "target")
      local mr <close> = rig.register(buf)
      local ok, err = pcall(rig.set, buf, 0x46, "requester")
      if not ok and err.name == "EBUSY" then
        rig.t:skip("this revision takes one tag per dma-buf")
      end
      expect.truthy(ok, err)
      rig.dev:reset()
      rig.carries(mr, 0x45, "target")
      local again <close> = rig.register(buf)
      rig.carries(again, 0x46, "requester")
    end) },
    -- mlx5's memory key has 8 bits for the tag's index, so in direct mode the upper byte is lost.
    { "a NIC sends a tag of its own namespace", case(function(rig)
      local buf <close> = rig.export()
      local ok, err = pcall(buf.set_tph, buf, { st = 0x49, st_ext = 0x4a, ph = "target" })
      local own = rig.mode == "extended" and 0x4a or 0x49
      if not ok and err.kind == "argument" then
        rig.t:log "this revision has one namespace: the one tag is sent in the NIC's, whichever that is"
        buf:set_tph { st = 0x49, ph = "target" }
        own = 0x49
      else
        expect.truthy(ok, err)
      end
      local mr <close> = rig.register(buf)
      for _, request in ipairs(rig.requests(mr)) do
        expect.tag(request.st, own, "tag of request " .. request.number)
        expect.equal(request.extended, rig.mode == "extended", "16-bit namespace of request " .. request.number)
      end
    end) },
    { "two regions of one BAR carry a tag each", case(function(rig)
      local one <close> = rig.export()
      local two <close> = rig.export()
      rig.set(one, 0x47, "target")
      rig.set(two, 0x48, "bidirectional")
      local first <close> = rig.register(one)
      local second <close> = rig.register(two)
      rig.carries(first, 0x47, "target")
      rig.carries(second, 0x48, "bidirectional")
    end) },
  },
}
