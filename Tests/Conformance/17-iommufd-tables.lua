-- iommufd's page tables made by hand, what the IOMMU tells of itself, and what only IOMMUs with nested translation serve;
-- the sizes that the requests may say.
local vfio, iommufd, memory, sys, answers =
  require "vfio", require "iommufd", require "memory", require "sys", require "answers"
local spaces = require "spaces"

local PAGE, WINDOW = 4096, 0xfee00000
local TABLE, INFO, DESTROY = "IOMMU_HWPT_ALLOC", "IOMMU_GET_HW_INFO", "IOMMU_DESTROY"
local table_of, destroy = spaces.table_of, spaces.destroy

local cases = {}

cases[#cases + 1] = { "page tables, refusals", spaces.case(function(with)
  local answer, fd, id, ioas = with.answer, with.fd, with.id, with.ioas
  for _, size in ipairs { 0, 20, 23 } do
    answer:ioctl("size " .. size, fd, TABLE, string.pack("<I4", size) .. table_of(id, ioas):sub(5))
  end
  answer:ioctl("size 56, tail 1", fd, TABLE, string.pack("<I4", 56) .. table_of(id, ioas):sub(5) .. ("\1"):rep(8))
  with:table("reserved 1", ioas, { reserved = 1 })
  with:table("data type without data", ioas, { type = 1 })
  with:table("data without type", ioas, { length = 8 })
  answer:ioctl("no device", fd, TABLE, table_of(1000, ioas))
  answer:ioctl("an address space as the device", fd, TABLE, table_of(ioas, ioas))
  answer:ioctl("no device, no target", fd, TABLE, table_of(1000, 1001))
  with:table("no target", 1000)
  with:table("the device as the target", id)
  for _, flags in ipairs { 1, 2, 3, 4, 5, 6, 12, 16, 1 << 31 } do
    with:table("flags " .. flags, ioas, { flags = flags })
  end
  with:table("flag 4, fault 1000", ioas, { flags = 4, fault = 1000 })
  with:table("data", ioas, { type = 1, length = 8, data = with.va })
  with:table("data and flag 1", ioas, { type = 1, length = 8, data = with.va, flags = 1 })
  answer:ioctl("none was made", fd, DESTROY, destroy(ioas))
end) }

cases[#cases + 1] = { "page tables", spaces.case(function(with)
  local answer, fd, ioas = with.answer, with.fd, with.ioas
  with:ranges("at first")
  local first = with:table("a page table", ioas)
  with:ranges("with a page table")
  with:fixed("in the interrupt window", WINDOW)
  with:unmap_all("unmap")
  answer:ioctl("destroy its address space", fd, DESTROY, destroy(ioas))
  local second = with:table("another", ioas, { flags = 8 })
  answer:value("another id", first ~= second)
  with:table("one on top of it", first)
  with:table("one on top of it, with data", first, { type = 1, length = 8, data = with.va })
  with:table("one on top of it, with flag 1", first, { type = 1, length = 8, data = with.va, flags = 1 })
  with:fixed("map", 0x10000)
  answer:value("attach gives its id", with:attach("attach to the first", first) == first)
  with:ranges("attached")
  answer:ioctl("destroy it", fd, DESTROY, destroy(first))
  answer:value("and the other's", with:attach("attach to the second", second) == second)
  answer:ioctl("destroy the first", fd, DESTROY, destroy(first))
  local automatic = with:attach("attach to the address space", ioas)
  answer:value("a third", automatic ~= second)
  answer:ioctl("destroy the second", fd, DESTROY, destroy(second))
  answer:ioctl("destroy the third", fd, DESTROY, destroy(automatic))
  with:detach("detach")
  answer:ioctl("the third is gone", fd, DESTROY, destroy(automatic))
  with:ranges("at last")
  answer:ioctl("destroy the address space", fd, DESTROY, destroy(ioas))
end) }

cases[#cases + 1] = { "page tables of what is mapped badly", spaces.case(function(with)
  local answer, fd = with.answer, with.fd
  with:fixed("map in the interrupt window", WINDOW)
  local made = with:table("a page table", with.ioas)
  with:attach("attach", made or with.ioas)
  answer:ioctl("destroy", fd, DESTROY, destroy(made or 0))
  with:unmap_all("unmap")
  with:fixed("map beyond the aperture", 1 << 52)
  with:table("a page table", with.ioas)
  with:unmap_all("unmap")
  with:fixed("map 16 bytes", 0x10010, { va = with.va + 16, length = 16 })
  with:table("a page table", with.ioas)
  with:unmap_all("unmap")
  with:fixed("map nothing", 0x10000, { va = PAGE })
  with:table("a page table", with.ioas)
  with:table("a page table, flag 4", with.ioas, { flags = 4 })
  with:unmap_all("unmap")
  with:allow("beyond the aperture", { { 1 << 52, (1 << 52) + PAGE } })
  with:table("a page table", with.ioas)
  with:allow("the interrupt window", { { WINDOW, WINDOW + PAGE } })
  made = with:table("a page table", with.ioas)
  with:attach("attach", made or with.ioas)
  answer:ioctl("destroy", fd, DESTROY, destroy(made or 0))
end) }

for _, name in ipairs { "engine", "express" } do
  cases[#cases + 1] = { "what the IOMMU tells, " .. name, function(t, opt)
    local answer = answers.new(t)
    local context <close> = iommufd.open()
    local fd = context:fd()
    local dev <close> = vfio.open(opt[name], { iommufd = context })
    local room <close> = memory.alloc(PAGE)
    local function try(what, how)
      how = how or {}
      room:fill(0, 64, 0xee)
      local bytes = string.pack("<I4I4I4I4I8I4I1I1I1I1I8", how.size or 40, how.flags or 0, how.device or 1, how.length or 0,
        how.data or room:addr(), how.type or 0, 0xff, how.reserved or 0, 0, 0, -1)
      local output = "<xxxxxxxxxxxxI4xxxxxxxxI4I1I1I1I1I8"
      answer:ioctl(what, fd, INFO, bytes .. ("\0"):rep(8), output)
      answer:value(what .. ", data", room:read(0, 48))
    end
    for _, size in ipairs { 0, 24, 31, 32, 36, 40, 48 } do
      try("size " .. size, { size = size })
    end
    for _, length in ipairs { 1, 8, 16, 23, 24, 25, 32, 48 } do
      try("length " .. length, { length = length })
    end
    try("length 24 at NULL", { length = 24, data = 0 })
    try("length 0 at NULL", { data = 0 })
    try("flags 2", { flags = 2 })
    try("reserved 1", { reserved = 1 })
    try("reserved 1, no device", { reserved = 1, device = 1000 })
    try("no device", { device = 1000 })
    try("device 0", { device = 0 })
    try("type 1, without the flag", { type = 1 })
    for kind = 0, 5 do
      try("type " .. kind, { flags = 1, type = kind, length = 24 })
    end
    dev:close()
    try("device closed")
  end }
end

cases[#cases + 1] = { "tracking of writes", spaces.case(function(with)
  local answer, fd = with.answer, with.fd
  local made = with:table("a page table", with.ioas)
  local function track(what, flags, id, reserved)
    answer:ioctl(what, fd, "IOMMU_HWPT_SET_DIRTY_TRACKING", string.pack("<I4I4I4I4", 16, flags, id, reserved or 0))
  end
  track("on", 1, made)
  track("off", 0, made)
  track("flags 2", 2, made)
  track("reserved 1", 1, made, 1)
  track("no page table", 1, 1000)
  track("an address space", 1, with.ioas)
  local function read(what, id, how)
    how = how or {}
    answer:ioctl(what, fd, "IOMMU_HWPT_GET_DIRTY_BITMAP", string.pack("<I4I4I4I4I8I8I8I8", 48, id, how.flags or 0,
      how.reserved or 0, how.iova or 0x10000, how.length or PAGE, how.page or PAGE, with.va))
  end
  read("read", made)
  read("flags 1", made, { flags = 1 })
  read("flags 2", made, { flags = 2 })
  read("reserved 1", made, { reserved = 1 })
  read("no page table", 1000)
  read("length 0", made, { length = 0 })
  read("page size 0", made, { page = 0 })
  read("page size 3", made, { page = 3 })
  read("page size 8192", made, { page = 8192 })
  read("IOVA 16", made, { iova = 16 })
  read("length 16", made, { length = 16 })
  read("wrapping", made, { iova = -PAGE, length = 2 * PAGE })
end) }

cases[#cases + 1] = { "what needs nested translation", spaces.case(function(with)
  local answer, fd = with.answer, with.fd
  local made = with:table("a page table", with.ioas)
  local function invalidate(what, id, how)
    how = how or {}
    answer:ioctl(what, fd, "IOMMU_HWPT_INVALIDATE", string.pack("<I4I4I8I4I4I4I4", 32, id, how.data or with.va,
      how.type or 0, how.length or 16, how.count or 1, how.reserved or 0), "<xxxxxxxxxxxxxxxxxxxxxxxxI4")
  end
  invalidate("invalidate", made)
  invalidate("invalidate, none", made, { count = 0 })
  invalidate("invalidate, reserved 1", made, { reserved = 1 })
  invalidate("invalidate at NULL", made, { data = 0 })
  invalidate("invalidate, length 0", made, { length = 0 })
  invalidate("invalidate, length 8192", made, { length = 8192 })
  invalidate("invalidate, 2^20", made, { count = 1 << 20 })
  invalidate("invalidate, no page table", 1000)
  invalidate("invalidate, an address space", with.ioas)
  invalidate("invalidate, no page table, length 0", 1000, { length = 0 })
  local function iommu(what, flags, kind, device)
    local bytes = string.pack("<I4I4I4I4I4I4I4I4I8", 40, flags, kind, device, made, 0, 0, 0, 0)
    answer:ioctl(what, fd, "IOMMU_VIOMMU_ALLOC", bytes)
  end
  iommu("virtual IOMMU", 0, 1, with.id)
  iommu("virtual IOMMU, type 0", 0, 0, with.id)
  iommu("virtual IOMMU, flags 1", 1, 1, with.id)
  iommu("virtual IOMMU, no device", 0, 1, 1000)
  iommu("virtual IOMMU, type 0, no device", 0, 0, 1000)
  answer:ioctl("virtual device", fd, "IOMMU_VDEVICE_ALLOC", string.pack("<I4I4I4I4I8", 24, 1000, with.id, 0, 0))
  answer:ioctl("virtual device of a page table", fd, "IOMMU_VDEVICE_ALLOC", string.pack("<I4I4I4I4I8", 24, made, with.id, 0, 0))
  local function events(what, flags, kind, depth, reserved)
    local bytes = string.pack("<I4I4I4I4I4I4I4I4", 32, flags, 1000, kind, depth, 0, 0, reserved or 0)
    answer:ioctl(what, fd, "IOMMU_VEVENTQ_ALLOC", bytes)
  end
  events("events", 0, 1, 16)
  events("events, flags 1", 1, 1, 16)
  events("events, type 0", 0, 0, 16)
  events("events, depth 0", 0, 1, 0)
  events("events, depth 2^19", 0, 1, 1 << 19)
  events("events, depth 2^20", 0, 1, 1 << 20)
  events("events, reserved 1", 0, 1, 16, 1)
  local function queue(what, flags, kind, iova, length)
    local bytes = string.pack("<I4I4I4I4I4I4I8I8", 40, flags, 1000, kind, 0, 0, iova, length)
    answer:ioctl(what, fd, "IOMMU_HW_QUEUE_ALLOC", bytes)
  end
  queue("queue", 0, 1, 0, PAGE)
  queue("queue, flags 1", 1, 1, 0, PAGE)
  queue("queue, type 0", 0, 0, 0, PAGE)
  queue("queue, length 0", 0, 1, 0, 0)
  queue("queue, wrapping", 0, 1, -PAGE, 2 * PAGE)
  answer:ioctl("faults, flags 1", fd, "IOMMU_FAULT_QUEUE_ALLOC", string.pack("<I4I4I4I4", 16, 1, 0, 0))
end) }

-- The sizes that a request may say, and those it may not.
cases[#cases + 1] = { "frames", spaces.case(function(with)
  local frames = {
    { "IOMMU_IOAS_ALLOW_IOVAS", 24, 24 }, { "IOMMU_OPTION", 24, 24 }, { "IOMMU_VFIO_IOAS", 12, 12 }, { TABLE, 24, 48 }, { INFO, 32, 40 },
    { "IOMMU_HWPT_SET_DIRTY_TRACKING", 16, 16 }, { "IOMMU_HWPT_GET_DIRTY_BITMAP", 48, 48 },
    { "IOMMU_HWPT_INVALIDATE", 32, 32 }, { "IOMMU_FAULT_QUEUE_ALLOC", 16, 16 }, { "IOMMU_VIOMMU_ALLOC", 24, 40 },
    { "IOMMU_VDEVICE_ALLOC", 24, 24 }, { "IOMMU_IOAS_CHANGE_PROCESS", 8, 8 }, { "IOMMU_VEVENTQ_ALLOC", 28, 32 },
    { "IOMMU_HW_QUEUE_ALLOC", 40, 40 }, { "IOMMU_IOAS_NOIOMMU_GET_PA", 40, 40 },
  }
  for _, frame in ipairs(frames) do
    local request, least, size = table.unpack(frame --[[@as any[] ]])
    with.answer:ioctl(request .. ", no bytes", with.fd, request, "")
    for _, said in ipairs { 0, least - 1, least, size, size + 8, 0xffffffff } do
      -- Every word behind the size is 1: flags or a reserved field that none of them takes.
      local known = string.pack("<I4", said) .. ("\1\0\0\0"):rep(size // 4 - 1)
      with.answer:ioctl(("%s, size %d"):format(request, said), with.fd, request, known .. ("\0"):rep(8))
      with.answer:ioctl(("%s, size %d, tail 1"):format(request, said), with.fd, request, known .. ("\1"):rep(8))
      with.answer:ioctl(("%s, size %d, %d bytes"):format(request, said, size), with.fd, request, known)
    end
    local number = sys.request(request)
    with.answer:ioctl(request .. " with direction bits", with.fd, number | 0xc0000000, string.pack("<I4", 64) .. ("\0"):rep(60))
  end
end) }

return {
  name = "conformance-iommufd-tables",
  about = "iommufd: page tables, information, what needs nested translation",
  options = {
    engine = { type = "pci", default = "auto", id = "1234:11e8", about = "device that is attached" },
    express = { type = "pci", default = "auto", id = "1af4:1044", about = "device with address translation services" },
  },
  needs = { "iommufd" },
  cases = cases,
}
