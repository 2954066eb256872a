-- Two can give a region its hint: the program, by a DMA handle of its own, and the exporter of the dma-buf. The handle wins
-- in every revision of the series, and then the exporter is not even asked.
local expect, fixture = require "expect", require "fixture"
local steering, loopback = require "steering", require "loopback"

local function case(body)
  return function(t, opt)
    local f <close> = fixture.nic(opt)
    local buf <close> = f:export()
    local dmah <close> = f.context:alloc_dmah { ph = "requester" }
    --- Registers with these, and tells the tag and hint that the NIC sends: "none", or "0x42 target".
    local function sends(with)
      local request = { dmabuf = buf, length = 4096, access = { "local_write", "remote_write" } }
      for key, value in pairs(with) do
        request[key] = value
      end
      local mr <close> = f.pd:reg_mr_ex(request)
      local found, reason = steering.seen {
        t = t, nic = opt.nic, mr = mr, exporter = opt.exporter,
        send = function() loopback.move(f.context, f.pd, "rdma_write", mr) end,
      }
      if not found then
        t:skip("registered, but " .. reason)
      end ---@cast found -?
      t:log(found.line)
      return found.tag and ("0x%02x %s"):format(found.tag, found.ph) or "none"
    end
    body(sends, buf, dmah)
  end
end

return {
  name = "dmah-versus-exporter",
  about = "a DMA handle given at registration wins over the hint that the exporter set",
  tags = { "tph", "rdma" },
  options = fixture.nic_options(),
  needs = { "vfio.dma_buf_tph", "rdma.reg_dmabuf_mr", "rdma.dmah" },
  effects = { "open", "dma", "raw" },
  cases = {
    { "neither", case(function(sends)
      expect.equal(sends {}, "none", "what is sent")
    end) },
    { "the exporter alone", case(function(sends, buf)
      buf:set_tph { st = 0x42, ph = "target" }
      expect.equal(sends {}, "0x42 target", "what is sent")
    end) },
    { "the handle alone", case(function(sends, _, dmah)
      expect.equal(sends { dmah = dmah }, "0x00 requester", "what is sent")
    end) },
    { "both", case(function(sends, buf, dmah)
      buf:set_tph { st = 0x42, ph = "target" }
      expect.equal(sends { dmah = dmah }, "0x00 requester", "what is sent")
    end) },
    { "the next region without the handle asks the exporter again", case(function(sends, buf, dmah)
      buf:set_tph { st = 0x42, ph = "target" }
      sends { dmah = dmah }
      expect.equal(sends {}, "0x42 target", "what is sent")
    end) },
  },
}
