-- Every byte arrives: stamped messages of all sizes, window after window, checked where they came to.
local traffic, expect, rdma_pair = require "traffic", require "expect", require "rdma_pair"

local ROOM = 1 << 20
local SIZES = { 1, 2, 7, 8, 63, 64, 255, 1023, 1024, 1025, 4096, 9000, 65536 }

--- Where in the memory messages are sent from, and where they come to.
local FROM, INTO = 0, ROOM // 2

local function window(side, opt, size)
  return { memory = side.host, size = size, slots = math.max(1, math.min(opt.slots, ROOM // 2 // size)) }
end

--- For each size so many windows: `send(side, w)` on the side that has the bytes, `take(side, w)` on the other; both with a
--- window whose `first_message` is numbered on.
local function verified(sender, send, take)
  return function(t, opt)
    local side <close> = rdma_pair.connect(t, { nic = opt.nic, length = ROOM })
    local first, checked = 0, 0
    for _, size in ipairs(SIZES) do
      for _ = 1, opt.windows do
        local w = window(side, opt, size)
        w.first_message, w.seed = first, size
        if t:role() == sender then
          w.offset = FROM
          traffic.stamp(w)
          if t:role() == "target" then
            t:barrier()
          end
          send(side, w, t)
        else
          if t:role() == "initiator" then
            t:barrier()
          end
          take(side, w, t)
          w.offset = INTO
          if opt.corrupt and first == 0 then
            side.host:write(INTO, "\xff\xff")
          end
          local wrong = traffic.check(w)
          expect.equal(wrong and wrong.text, nil, size .. "-byte messages")
          checked = checked + w.slots
        end
        first = first + w.slots
        t:barrier()
      end
    end
    if t:role() ~= sender then
      t:log(("%d messages of %d sizes are as they were sent"):format(checked, #SIZES))
    end
  end
end

local function stream(side, w, opcode, from, to)
  local result = traffic.stream {
    qp = side.qp, opcode = opcode, mr = side.mr, offset = from, remote_addr = side.peer.addr + to, rkey = side.peer.rkey,
    size = w.size, slots = w.slots, count = w.slots,
  }
  expect.equal(result.failure and result.failure.status, nil, "completion")
  expect.equal(result.messages, w.slots, "messages")
end

return {
  name = "rdma-verify",
  about = "every byte of every message arrives, whatever the operation and the size",
  tags = { "rdma", "slow" },
  roles = { "target", "initiator" },
  options = {
    nic = { type = "rdma", default = "auto", about = "RDMA device of both roles" },
    slots = { type = "integer", default = 64, min = 1, max = 128, about = "messages of a window" },
    windows = { type = "integer", default = 2, min = 1, max = 100000, about = "windows of each size" },
    corrupt = { type = "boolean", default = false, about = "spoil two bytes of the first window, to see them found" },
  },
  needs = { "rdma" },
  effects = { "open", "dma" },
  cases = {
    { "write", verified("initiator", function(side, w, t)
      stream(side, w, "rdma_write", FROM, INTO)
      t:barrier()
    end, function(_, _, t)
      t:barrier()
    end) },
    { "read", verified("target", function(_, _, t)
      t:barrier()
    end, function(side, w, t)
      stream(side, w, "rdma_read", INTO, FROM)
      t:barrier()
    end) },
    { "send", verified("initiator", function(side, w, t)
      t:barrier()
      stream(side, w, "send", FROM, 0)
    end, function(side, w, t)
      for i = 0, w.slots - 1 do
        side.qp:post_recv { mr = side.mr, offset = INTO + i * w.size, length = w.size, wr_id = i }
      end
      t:barrier()
      for _, completion in ipairs(side.recv_cq:wait(w.slots)) do
        expect.truthy(completion.ok, completion.status)
        expect.equal(completion.byte_len, w.size, "bytes received")
      end
    end) },
    { "atomics", function(t, opt)
      local side <close> = rdma_pair.connect(t, { nic = opt.nic })
      if side.context:query_device().atomic_cap == "none" then
        t:skip(opt.nic .. " does no atomics")
      end
      local count = opt.slots * opt.windows
      if t:role() == "target" then
        side.host:write(0, string.pack("<I8", 1000))
        t:barrier()
        t:barrier()
        expect.equal(string.unpack("<I8", side.host:read(0, 8)), 1000 + 3 * count, "sum of what was added")
      else
        t:barrier()
        for i = 0, count - 1 do
          side.qp:post_send {
            opcode = "atomic_fetch_and_add", mr = side.mr, length = 8, remote_addr = side.peer.addr, rkey = side.peer.rkey,
            compare_add = 3,
          }
          expect.equal(side.cq:wait(1)[1].status, "SUCCESS", "completion")
          expect.equal(string.unpack("<I8", side.host:read(0, 8)), 1000 + 3 * i, "value fetched")
        end
        t:barrier()
      end
    end },
  },
}
