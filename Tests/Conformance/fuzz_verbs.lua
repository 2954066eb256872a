--- What random sequences of a NIC's verbs are made of, for fuzz.lua. One context has them all: another one's objects have numbers that may name something in this one.
local ACCESS = {
  '"local_write", "remote_write", "remote_read", "remote_atomic"', '"local_write", "remote_write"', '"local_write"', "",
  '"remote_read"', '"remote_write"', '"local_write", "remote_atomic", "relaxed_ordering"', '"local_write", "mw_bind"',
  '"on_demand", "local_write"', '"zero_based"', '"hugetlb"',
}
local ON_DEMAND = '"on_demand", "local_write", "remote_write", "remote_read"'
local PLACES = { 0, 0x1000, 0x800, 0x8000, 0xfff, 0x10000 }
local SIZES = { 0x1000, 0x100, 0x2000, 1, 0, 0x10001 }

-- How sequences with a NIC begin: `sends` and `receives` of them are cq6 and cq7.
local function beginning(nic)
  return {
    { "nic", ("rdma.open(%q)"):format(nic) }, { "device", 'vfio.open("0000:01:00.0")' },
    { "buffer", "device2:export_dmabuf { region_index = 2, ranges = { { offset = 0x0, length = 0x10000 } } }" },
    { "domain", "nic1:alloc_pd()" }, { "host", "memory.alloc(0x10000)" },
    { "cq", "nic1:create_cq(64)" }, { "cq", "nic1:create_cq(64)" },
    { "region", 'domain4:reg_mr { memory = host5, access = { "local_write", "remote_write", "remote_read", "remote_atomic" } }' },
    { "pair", 'domain4:create_qp { qp_type = "rc", send_cq = cq6, recv_cq = cq7, max_send_wr = 4, max_recv_wr = 4 }' },
    { "pair", 'domain4:create_qp { qp_type = "rc", send_cq = cq6, recv_cq = cq7, max_send_wr = 4, max_recv_wr = 4 }' },
    { nil, "pair9:connect { to = pair10:endpoint(), timeout = 1, retry_cnt = 1, rnr_retry = 1 }" },
    { nil, "pair10:connect { to = pair9:endpoint(), timeout = 1, retry_cnt = 1, rnr_retry = 1 }" },
  }
end

--- `number` writes a number as Lua reads it. Makers are as fuzz.lua has them.
return function(number)
  local makers = {}
  local function verb(weight, make)
    for _ = 1, weight do
      makers[#makers + 1] = make
    end
  end

  verb(2, function(_, h)
    local nic = h.any "nic"
    return nic and nic .. ":alloc_pd()", "domain"
  end)
  verb(4, function(r, h)
    local domain, host = h.any "domain", h.any "host"
    return domain and host and ("%s:reg_mr { memory = %s, length = %s, access = { %s } }"):format(
      domain, host, number(r.mostly({ 0x1000, 0x800, 1 }, 2)), r.below(4) == 0 and ON_DEMAND or r.mostly(ACCESS, 3)), "region"
  end)
  verb(5, function(r, h)
    local domain, buffer = h.any "domain", h.any "buffer"
    return domain and buffer and ("%s:reg_dmabuf_mr { dmabuf = %s, offset = %s, length = %s, iova = %s, access = { %s } }"):format(
      domain, buffer, number(r.mostly(PLACES, 2)), number(r.mostly(SIZES, 2)), number(r.mostly(PLACES, 2)),
      r.mostly(ACCESS, 3)), "region"
  end)
  verb(2, function(r, h)
    local nic = h.any "nic"
    local cpu = r.pick { "", "", ", cpu_id = 0, tph_mem_type = \"volatile\"", ", cpu_id = 1, tph_mem_type = \"persistent\"",
      ", cpu_id = 7, tph_mem_type = \"volatile\"", ", cpu_id = 0" }
    return nic and ("%s:alloc_dmah { ph = %q%s }"):format(
      nic, r.pick { "bidirectional", "requester", "target", "target-priority" }, cpu), "hint"
  end)
  verb(3, function(r, h)
    local domain, buffer, hint = h.any "domain", h.any "buffer", h.any "hint"
    return domain and buffer and hint and ("%s:reg_mr_ex { dmabuf = %s, length = %s, access = { %s }, dmah = %s }"):format(
      domain, buffer, number(r.mostly(SIZES, 2)), r.mostly(ACCESS, 3), hint), "region"
  end)
  verb(2, function(r, h)
    local region = h.any "region"
    return region and ("%s:tph().%s"):format(region, r.pick { "enabled", "ph", "st" })
  end)
  verb(2, function(r, h)
    local nic = h.any "nic"
    return nic and ("%s:create_cq(%s)"):format(nic, number(r.mostly({ 64, 16, 0x400000, 1 << 30 }, 2))), "cq"
  end)
  verb(1, function(r, h)
    local domain = h.any "domain"
    return domain and ("%s:create_srq { max_wr = %s, max_sge = %s }"):format(
      domain, number(r.mostly({ 4, 1, 0x8000, 0 }, 2)), number(r.mostly({ 1, 2, 31, 32 }, 2))), "srq"
  end)
  verb(4, function(r, h)
    local domain, cq, srq = h.any "domain", h.any "cq", r.below(5) == 0 and h.any "srq"
    return domain and cq and ("%s:create_qp { qp_type = %q, send_cq = %s, recv_cq = %s, max_send_wr = %s, max_recv_wr = %s, max_inline_data = %s%s }")
      :format(domain, r.mostly({ "rc", "uc", "ud" }, 1), h.sends, h.receives, number(r.mostly({ 4, 1, 0x2001 }, 2)),
        number(r.mostly({ 4, 1, 0x8001 }, 2)), number(r.mostly({ 0, 64, 400 }, 2)), srq and ", srq = " .. srq or ""), "pair"
  end)
  verb(3, function(r, h)
    local pair, other = h.any "pair", h.any "pair"
    if not pair then
      return nil
    end
    h.connected[pair] = true
    return ("%s:connect { to = %s:endpoint(), timeout = 1, retry_cnt = 1, rnr_retry = 1, access = { %s } }"):format(
      pair, other, r.mostly({ '"remote_write", "remote_read", "remote_atomic"', '"remote_read"', "" }, 1))
  end)
  verb(1, function(_, h)
    local pair = h.any "pair"
    return pair and ("%s:to_rts { qkey = 5 }"):format(pair)
  end)
  -- A request of one that is not connected would wait, and end when nobody looks.
  local function send(r, h)
    local pair, region, far = h.any "pair", h.any "region", h.any "region"
    if not pair or not region or not h.connected[pair] then
      return nil
    end
    local opcode = r.mostly({
      "rdma_write", "rdma_read", "send", "rdma_write_with_imm", "send_with_imm", "atomic_fetch_and_add", "atomic_cmp_and_swp",
    }, 3)
    local is_atomic, is_remote = opcode:find "atomic" ~= nil, not opcode:find "send"
    return ("queues.send(%s, %s, { opcode = %q, mr = %s, length = %s%s%s%s, wr_id = %d })"):format(
      pair, h.sends, opcode, region, is_atomic and "8" or number(r.mostly({ 8, 0, 64 }, 1)),
      is_remote and (", remote_addr = %s:addr() + %s, rkey = %s:rkey()"):format(
        far, number(r.mostly({ 0, 8, 0x1000, 4 }, 2)), far) or "",
      opcode:find "imm" and ", imm_data = 7" or "", is_atomic and ", compare_add = 1" or "", r.below(100))
  end
  verb(7, send)
  verb(3, function(r, h)
    local pair, region = h.any "pair", h.any "region"
    return pair and region and ("%s:post_recv { mr = %s, length = %s, wr_id = %d }"):format(
      pair, region, number(r.mostly({ 64, 4, 0 }, 1)), r.below(100))
  end)
  verb(1, function(r, h)
    local srq, region = h.any "srq", h.any "region"
    return srq and region and ("%s:post_recv { mr = %s, length = %s, wr_id = %d }"):format(
      srq, region, number(r.mostly({ 64, 4, 0 }, 1)), r.below(100))
  end)
  verb(1, function(r, h)
    local srq = h.any "srq"
    return srq and ("%s:modify { srq_limit = %d }"):format(srq, r.pick { 0, 1, 7, 8, 16, 100000 })
  end)
  verb(1, function(r, h)
    return h.any "cq" and ("queues.drain(%s)"):format(r.pick { h.sends, h.receives })
  end)
  -- A region's pages outlive the mapping, but for one with on-demand paging.
  verb(3, function(_, h)
    local host = h.any "host"
    return host and host .. ":close()"
  end)
  verb(5, function(r, h)
    local handle = h.any(r.pick { "device", "domain", "region", "region", "buffer", "hint", "cq", "pair", "srq" })
    return handle and handle .. ":close()"
  end)

  return { makers = makers, send = send, beginning = beginning }
end
