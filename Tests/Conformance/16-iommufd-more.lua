-- iommufd beyond mapping: allowed ranges, options, requests made for VFIO's containers, and what few programs ask.
local sys, spaces = require "sys", require "spaces"

local PAGE, MAX, WINDOW = 4096, -1, 0xfee00000
local DESTROY, OPTION, COMPATIBLE = "IOMMU_DESTROY", "IOMMU_OPTION", "IOMMU_VFIO_IOAS"
local option, destroy, VALUE = spaces.option, spaces.destroy, spaces.VALUE

local cases = {}

cases[#cases + 1] = { "allowed ranges, refusals", spaces.case(function(with)
  with:allow("size 23", {}, { size = 23 })
  with:allow("reserved 1", {}, { reserved = 1 })
  with:allow("reserved 1, no address space", {}, { reserved = 1, ioas = 1000 })
  with:allow("no address space", {}, { ioas = 1000 })
  with:allow("no ranges", {})
  with:allow("no ranges at NULL", {}, { address = 0 })
  with:allow("one range at NULL", {}, { count = 1, address = 0 })
  with:allow("a page", { { PAGE, 2 * PAGE - 1 } })
  with:allow("two bytes", { { PAGE, PAGE + 1 } })
  with:allow("a byte", { { PAGE, PAGE } })
  with:allow("turned round", { { 2 * PAGE, PAGE } })
  with:allow("everything", { { 0, MAX } })
  with:allow("overlapping", { { 0, 0x1fff }, { 0x1000, 0x2fff } })
  with:allow("the same twice", { { 0, 0xfff }, { 0, 0xfff } })
  with:allow("touching", { { 0, 0xfff }, { 0x1000, 0x1fff } })
  with:allow("in another order", { { 0x4000, 0x4fff }, { 0x1000, 0x1fff }, { 0x2000, 0x2fff } })
  with:allow("a bad one after a good one", { { 0, 0xfff }, { 0x2000, 0x1000 } })
  with:allow("a bad one after an unreadable one", { { 0x2000, 0x1000 } }, { count = 1000 })
  with:allow("the interrupt window", { { WINDOW, WINDOW + 0xfffff } })
end) }

cases[#cases + 1] = { "allowed ranges, where addresses are found", spaces.case(function(with)
  with:anywhere("at first")
  with:allow("from 16M", { { 0x1000000, 0x1ffffff } })
  with:anywhere("from 16M")
  with:anywhere("the next")
  with:anywhere("16 pages", 16 * PAGE)
  with:fixed("elsewhere by name", 0x5000000)
  with:ranges("ranges")
  with:allow("two pages", { { 0x2000000, 0x2001fff } })
  with:anywhere("the first")
  with:anywhere("the second")
  with:anywhere("no third")
  with:allow("one and one", { { 0x3000000, 0x3000fff }, { 0x3002000, 0x3002fff } })
  with:anywhere("two pages in one and one", 2 * PAGE)
  with:anywhere("the first of one and one")
  with:anywhere("the second of one and one")
  with:allow("one beside one", { { 0x4001000, 0x4001fff }, { 0x4000000, 0x4000fff } })
  with:anywhere("two pages in one beside one", 2 * PAGE)
  with:allow("half a page", { { 0x5000800, 0x5000fff } })
  with:anywhere("a page in half")
  with:allow("a page and a half", { { 0x6000800, 0x6001fff } })
  with:anywhere("a page in one and a half")
  with:allow("below a page", { { 0, 0xfff } })
  with:anywhere("a page at 0")
  with:allow("the last pages", { { -2 * PAGE, MAX } })
  with:anywhere("a page at the end")
  with:allow("a bad one", { { 2, 1 } })
  with:anywhere("a page, still at the end")
  with:allow("no ranges", {})
  with:anywhere("anywhere again")
end) }

cases[#cases + 1] = { "allowed ranges and devices", spaces.case(function(with)
  with:allow("the interrupt window", { { WINDOW, WINDOW + PAGE } })
  with:attach("attach", with.ioas)
  with:allow("beyond the aperture", { { 1 << 52, (1 << 52) + PAGE } })
  with:attach("attach, beyond the aperture", with.ioas)
  with:allow("16M", { { 0x1000000, 0x1ffffff } })
  with:attach("attach, 16M", with.ioas)
  with:ranges("attached")
  with:anywhere("a page, attached")
  with:allow("the interrupt window, attached", { { WINDOW, WINDOW + PAGE } })
  with:allow("across it", { { 0xfed00000, 0xffffffff } })
  with:allow("beyond the aperture, attached", { { 1 << 52, (1 << 52) + PAGE } })
  with:anywhere("the refused changed nothing")
  with:allow("up to the window", { { 0xfedff000, 0xfedfffff } })
  with:anywhere("up to the window")
  with:detach("detach")
  with:allow("the interrupt window, detached", { { WINDOW, WINDOW + PAGE } })
  with:anywhere("in the window")
end) }

for _, attached in ipairs { false, true } do
  cases[#cases + 1] = { attached and "options, attached" or "options", spaces.case(function(with)
    if attached then
      with:attach("attach", with.ioas)
    end
    local function try(name, ...)
      with.answer:ioctl(name, with.fd, OPTION, option(...), VALUE)
    end
    try("unknown option", 2, 1, with.ioas, 0)
    try("reserved 1", 1, 1, with.ioas, 0, 1)
    try("reserved 1, unknown option", 2, 1, with.ioas, 0, 1)
    try("large pages", 1, 1, with.ioas, 5)
    try("large pages, no address space", 1, 1, 1000, 0)
    try("large pages, op 2", 1, 2, with.ioas, 0)
    try("large pages, set 2", 1, 0, with.ioas, 2)
    try("large pages, set 1", 1, 0, with.ioas, 1)
    try("large pages, set 0", 1, 0, with.ioas, 0)
    try("large pages then", 1, 1, with.ioas, 5)
    try("large pages, set 0 again", 1, 0, with.ioas, 0)
    with:ranges("ranges without large pages")
    with:fixed("map", 0x10000)
    try("large pages, set 1 with a mapping", 1, 0, with.ioas, 1)
    try("large pages, set 0 with a mapping", 1, 0, with.ioas, 0)
    with:ranges("ranges")
    try("accounting", 0, 1, 0, 5)
    try("accounting of an object", 0, 1, with.ioas, 0)
    try("accounting, op 2", 0, 2, 0, 0)
    try("accounting, set 1", 0, 0, 0, 1)
    try("accounting, set 2", 0, 0, 0, 2)
    local bytes = option(1, 1, with.ioas, 0)
    with.answer:ioctl("size 23", with.fd, OPTION, string.pack("<I4", 23) .. bytes:sub(5))
    with.answer:ioctl("size 32, tail 1", with.fd, OPTION, string.pack("<I4", 32) .. bytes:sub(5) .. ("\1"):rep(8))
    with.answer:ioctl("size 32, tail 0", with.fd, OPTION, string.pack("<I4", 32) .. bytes:sub(5) .. ("\0"):rep(8))
  end) }
end

cases[#cases + 1] = { "accounting without objects", spaces.case(function(with)
  local function try(name, ...)
    with.answer:ioctl(name, with.fd, OPTION, option(...), VALUE)
  end
  try("get", 0, 1, 0, 5)
  try("set 1", 0, 0, 0, 1)
  try("get then", 0, 1, 0, 5)
  try("set 2", 0, 0, 0, 2)
  try("set 0", 0, 0, 0, 0)
  try("get again", 0, 1, 0, 5)
  with.answer:ioctl("an address space", with.fd, "IOMMU_IOAS_ALLOC", string.pack("<I4I4I4", 12, 0, 0))
  try("set 1, an address space there", 0, 0, 0, 1)
  try("get, an address space there", 0, 1, 0, 5)
end, true) }

cases[#cases + 1] = { "large pages and what is mapped badly", spaces.case(function(with)
  with:fixed("16 bytes", 0x10010, { va = with.va + 16, length = 16 })
  with.answer:ioctl("no large pages", with.fd, OPTION, option(1, 0, with.ioas, 0))
  with.answer:ioctl("large pages", with.fd, OPTION, option(1, 1, with.ioas, 5), VALUE)
  with:unmap_all("unmap")
  with:fixed("a page from its middle", 0x10000, { va = with.va + 16 })
  with.answer:ioctl("no large pages", with.fd, OPTION, option(1, 0, with.ioas, 0))
  with:attach("attach", with.ioas)
  with:unmap_all("unmap")
  with.answer:ioctl("no large pages", with.fd, OPTION, option(1, 0, with.ioas, 0))
  with:fixed("a page from its middle", 0x10000, { va = with.va + 16 })
end) }

cases[#cases + 1] = { "change of process", spaces.case(function(with)
  local function try(name, reserved)
    with.answer:ioctl(name, with.fd, "IOMMU_IOAS_CHANGE_PROCESS", string.pack("<I4I4", 8, reserved or 0))
  end
  try("nothing mapped")
  try("reserved 1", 1)
  local file <close> = sys.memfd(PAGE)
  with.answer:ioctl("map a memfd", with.fd, "IOMMU_IOAS_MAP_FILE",
    string.pack("<I4I4I4i4I8I8I8", 40, 7, with.ioas, file:fd(), 0, PAGE, 0x10000))
  try("a memfd mapped")
  with:fixed("map memory", 0x20000)
  try("memory mapped")
end) }

cases[#cases + 1] = { "physical addresses", spaces.case(function(with)
  local function try(name, iova, length, how)
    how = how or {}
    with.answer:ioctl(name, with.fd, "IOMMU_IOAS_NOIOMMU_GET_PA", string.pack("<I4I4I4I4I8I8I8", 40, how.flags or 0,
      how.ioas or with.ioas, how.reserved or 0, iova, length, 0))
  end
  with:fixed("map", 0x10000)
  try("of what is mapped", 0x10000, PAGE)
  try("of nothing", 0x20000, PAGE)
  try("length 0", 0x10000, 0)
  try("IOVA 2^64 - 1", MAX, PAGE)
  try("flags 1", 0x10000, PAGE, { flags = 1 })
  try("reserved 1", 0x10000, PAGE, { reserved = 1 })
  try("no address space", 0x10000, PAGE, { ioas = 1000 })
  with:attach("attach", with.ioas)
  try("attached", 0x10000, PAGE)
end) }

cases[#cases + 1] = { "requests made for containers", spaces.case(function(with)
  local answer, fd, ioas = with.answer, with.fd, with.ioas
  local function compatible(what, op, id, reserved)
    return answer:ioctl(what, fd, COMPATIBLE, string.pack("<I4I4I2I2", 12, id or 0, op, reserved or 0))
  end
  local function map(what, iova, size, how)
    how = how or {}
    answer:ioctl(what, fd, "VFIO_IOMMU_MAP_DMA", string.pack("<I4I4I8I8I8", how.argsz or 32, how.flags or 3,
      how.va or with.va, iova, size))
  end
  local function unmap(what, iova, size, how)
    how = how or {}
    answer:ioctl(what, fd, "VFIO_IOMMU_UNMAP_DMA", string.pack("<I4I4I8I8", how.argsz or 24, how.flags or 0, iova, size),
      "<xxxxxxxxxxxxxxxxI8")
  end
  answer("API version", sys.ioctl, fd, "VFIO_GET_API_VERSION")
  for number = 0, 11 do
    answer("extension " .. number, sys.ioctl, fd, "VFIO_CHECK_EXTENSION", number)
  end
  for _, kind in ipairs { 0, 1, 3, 8, 99 } do
    answer("type " .. kind, sys.ioctl, fd, "VFIO_SET_IOMMU", kind)
  end
  map("map", 0x10000, PAGE)
  map("map, flags 8", 0x10000, PAGE, { flags = 8 })
  unmap("unmap", 0x10000, PAGE)
  compatible("none", 0)
  compatible("set no address space", 1, 1000)
  compatible("set", 1, ioas)
  local data = compatible("get", 0)
  answer:value("it", data and string.unpack("<I4", data, 5) == ioas)
  compatible("reserved 1", 0, 0, 1)
  compatible("op 3", 3)
  answer("coherent DMA", sys.ioctl, fd, "VFIO_CHECK_EXTENSION", 4)
  answer("type 3", sys.ioctl, fd, "VFIO_SET_IOMMU", 3)
  answer("type 3 again", sys.ioctl, fd, "VFIO_SET_IOMMU", 3)
  map("map a page", 0x10000, PAGE)
  map("the same", 0x10000, PAGE)
  map("size 0", 0x20000, 0)
  map("no access", 0x20000, PAGE, { flags = 0 })
  map("flags 4", 0x30000, PAGE, { flags = 4 })
  map("argsz 31", 0x30000, PAGE, { argsz = 31 })
  map("wrapping", -PAGE, 2 * PAGE)
  map("address wraps", 0x30000, 2 * PAGE, { va = -PAGE })
  map("16 pages", 0x100000, 16 * PAGE)
  unmap("argsz 23", 0x10000, PAGE, { argsz = 23 })
  unmap("flags 1", 0x10000, PAGE, { flags = 1 })
  unmap("size 0", 0x10000, 0)
  unmap("a part", 0x100000, PAGE)
  unmap("one and a part", 0x10000, 0x100000)
  unmap("nothing", 0x10000, PAGE)
  unmap("all, with a size", 0, PAGE, { flags = 2 })
  unmap("all", 0, 0, { flags = 2 })
  unmap("all again", 0, 0, { flags = 2 })
  with:attach("attach", ioas)
  answer("coherent DMA, attached", sys.ioctl, fd, "VFIO_CHECK_EXTENSION", 4)
  map("map, attached", 0x10000, PAGE)
  map("the interrupt window", WINDOW, PAGE)
  map("no memory", 0x20000, PAGE, { va = PAGE })
  unmap("unmap, attached", 0x10000, PAGE)
  answer("type 1", sys.ioctl, fd, "VFIO_SET_IOMMU", 1)
  compatible("clear", 2)
  compatible("get then", 0)
  compatible("set again", 1, ioas)
  with:detach("detach")
  answer:ioctl("destroy", fd, DESTROY, destroy(ioas))
  compatible("get, destroyed", 0)
end) }

return {
  name = "conformance-iommufd-more",
  about = "iommufd: allowed ranges, options, VFIO's compatibility",
  options = { engine = { type = "pci", default = "auto", id = "1234:11e8", about = "device that is attached" } },
  needs = { "iommufd" },
  cases = cases,
}
