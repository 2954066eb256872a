-- A driver in the kernel that imports dma-bufs (scripts/lab/edu-importer), and with it what the kernel tells every such
-- driver: attach, map, copy. It wants the lab's modules, so it is none of the files that `Tests/Conformance/compare`
-- takes by itself; Tests/Lab/test names the benches.
local sys, pattern = require "sys", require "pattern"
local importer, importing = require "engines.edu_importer", require "importing"

local PAGE = 4096
local requests = importer.requests
local case, mapped, open = importing.case, importing.mapped, importing.open
local attach_bytes, copy_bytes, map_bytes = importing.attach_bytes, importing.copy_bytes, importing.map_bytes
local heap, udmabuf, set_command = importing.heap, importing.udmabuf, importing.set_command

return {
  name = "conformance-importer",
  about = "an importer in the kernel: attach, map, copy",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device whose BAR 2 is exported" },
  },
  needs = { "vfio.dma_buf" },
  cases = {
    { "abilities", case(function(with)
      local buf <close> = with.export { 0, 1 }
      local memory <close> = heap(PAGE)
      local pages <close> = udmabuf(PAGE)
      local function each(what, fd)
        for flags = 0, 3 do
          local one <close> = open(with)
          one:attach(("%s, flags %d"):format(what, flags), fd, flags)
          one:state(("%s, flags %d"):format(what, flags))
        end
      end
      each("of VFIO", buf:fd())
      each("of a heap", memory:fd())
      each("of udmabuf", pages:fd())
      set_command(with, 0)
      each("revoked", buf:fd())
      set_command(with, 2)
      each("given back", buf:fd())
      with.dev:close()
      each("its device closed", buf:fd())
    end) },

    { "attach to something else", case(function(with)
      local buf <close> = with.export { 0, 1 }
      local memory <close> = sys.memfd(PAGE)
      local event <close> = sys.eventfd()
      local one <close> = open(with)
      one:attach("descriptor -1", -1)
      one:attach("descriptor 999", 999)
      one:attach("the device", with.dev:fd())
      one:attach("a memfd", memory:fd())
      one:attach("an eventfd", event:fd())
      one:attach("the importer", one.file:fd())
      for _, flags in ipairs { 4, 7, 0x100, 0x80000000, 0xffffffff } do
        one:attach(("flags 0x%x"):format(flags), buf:fd(), flags)
        one:attach(("flags 0x%x, descriptor -1"):format(flags), -1, flags)
      end
      one:request("no bytes", requests.attach)
      one:request("half of it", requests.attach, attach_bytes(buf:fd()):sub(1, 4))
      one:attach("a dma-buf after all that", buf:fd())
      one:attach("again", buf:fd())
      one:attach("again, flags 4", buf:fd(), 4)
      one:attach("again, descriptor -1", -1)
      one:request("again, no bytes", requests.attach)
    end) },

    { "requests before an attachment", case(function(with)
      local one <close> = open(with)
      for _, name in ipairs { "map", "copy", "unmap", "detach", "state", "hint" } do
        one:request(name, requests[name])
      end
      one:request("an unknown one", 0xed07)
      one:request("of another type", 0xee00)
    end) },

    { "unknown requests", case(function(with)
      local buf <close> = with.export { 0, 1 }
      local one <close> = open(with)
      one:attach("attach", buf:fd())
      one:request("the next number", 0xed07)
      one:request("map with another size", 0x8210ed01, map_bytes)
      one:request("map in the other direction", 0x4208ed01, map_bytes)
      one:request("unmap with a size", 0x4008ed03, map_bytes)
      one:request("attach with another size", 0x4010ed00, attach_bytes(buf:fd()))
      one:request("of another type", 0x4008ee00, attach_bytes(buf:fd()))
      one:request("number 0", 0)
      one:state("afterwards")
    end) },

    { "short arguments", case(function(with)
      local buf <close> = with.export { 0, 1 }
      local one <close> = open(with)
      one:attach("attach", buf:fd())
      one:request("state", requests.state, ("\0"):rep(7))
      one:request("copy", requests.copy, copy_bytes(0, 0, 1):sub(1, 23))
      one:request("hint", requests.hint, ("\0"):rep(4))
      -- It is mapped before the answer is written.
      one:request("map", requests.map, map_bytes:sub(2))
      one:state("after map")
      one:request("map again", requests.map, map_bytes:sub(2))
      one:request("unmap", requests.unmap)
      one:state("after unmap")
    end) },

    { "the file", case(function(with)
      local one <close> = open(with)
      local fd = one.file:fd()
      local answer = with.answer
      answer("read", sys.read, fd, 8)
      answer("pread", sys.read, fd, 8, 0)
      answer("write", sys.write, fd, "x")
      answer("lseek", sys.seek, fd, 0, 0)
      answer("poll", sys.poll, fd, 5)
      answer("mmap", sys.mmap, fd, { length = PAGE })
      answer("F_GETFL", sys.fcntl, fd, 3)
      answer("link", sys.readlink, "/proc/self/fd/" .. fd)
      local buf <close> = with.export { 0, 1 }
      local readonly <close> = open(with, 0)
      answer("F_GETFL of a second one", sys.fcntl, readonly.file:fd(), 3)
      readonly:attach("which attaches", buf:fd())
      one:state("the first")
    end) },

    { "attach, detach, and the count", case(function(with)
      local buf <close> = with.export { 0, 4 }
      local function count(name)
        with.answer:value(name, buf:info().count)
      end
      local one <close> = open(with)
      local two <close> = open(with)
      count("nobody")
      one:attach("attach", buf:fd())
      count("one")
      one:request("unmap without a mapping", requests.unmap)
      one:map("map", { 0 })
      count("mapped")
      two:attach("another", buf:fd())
      count("two")
      one:request("detach", requests.detach)
      count("detached")
      one:request("detach again", requests.detach)
      one:attach("attach again", buf:fd())
      one:state("after that")
      one:map("map again", { 0 })
      one.file:close()
      two.file:close()
      count("all closed")
    end) },

    { "map and unmap", mapped(function(_, one)
      one:map("again", { 0 })
      one:state("mapped")
      one:request("unmap", requests.unmap)
      one:request("unmap again", requests.unmap)
      one:state("unmapped")
      one:map("once more", { 0 })
      one:state("once more")
    end) },

    { "an importer outlives the descriptor", mapped(function(with, one, buf)
      buf:close()
      one:moves("closed")
      one:request("unmap", requests.unmap)
      one:map("map", { 0 })
      with.dev:reset()
      one:map("after a reset", { 0 })
    end) },

    { "two importers at once", mapped(function(with, one, buf)
      local two <close> = open(with)
      two:attach("another", buf:fd())
      two:map("its map", { 0 })
      two:moves("the second")
      with.dev:reset()
      one:state("the first, after a reset")
      two:state("the second, after a reset")
      two:map("map", { 0 })
      two:moves("the second")
      one:moves("the first")
    end) },

    { "the same range in two dma-bufs", mapped(function(with, one)
      local other <close> = with.export { 0, 16 }
      local two <close> = open(with)
      two:attach("another", other:fd())
      two:map("its map", { 0 })
      one:request("unmap the first", requests.unmap)
      two:moves("the second")
    end) },

    { "copy", mapped(function(with, one)
      local dev, sent = with.dev, pattern.bytes(12300, 4)
      local function bytes(name, from, to, length)
        dev:write(2, from, sent:sub(1, length))
        dev:write(2, to, ("\0"):rep(length + 1))
        if one:copy(name, from, to, length) and one.on_bus then
          with.answer:log(name .. ", the bytes", "not compared, as QEMU's switch does not pass them on")
          return
        end
        with.answer:value(name .. ", the bytes are there", dev:read(2, to, length) == sent:sub(1, length))
        with.answer:value(name .. ", the byte behind them", dev:read(2, to + length, 1))
      end
      bytes("a byte", 0, PAGE, 1)
      bytes("unaligned", 3, PAGE + 5, 7)
      bytes("as much as the device holds", 0, 2 * PAGE, 4088)
      bytes("a byte more", 0, 2 * PAGE, 4089)
      bytes("pages and a half", 1, 8 * PAGE, 12300)
      bytes("to the end", 0, 16 * PAGE - 100, 99)
    end) },

    { "copies that are refused", mapped(function(_, one)
      local all = 16 * PAGE
      for _, row in ipairs {
        { "nothing", 0, 0, 0 }, { "nothing, from the end", all, all, 0 },
        { "nothing, from beyond", all + 1, 0, 0 },
        { "nothing, to beyond", 0, all + 1, 0 }, { "from the end", all, 0, 1 }, { "to the end", 0, all, 1 },
        { "over the end", all - 8, 0, 9 }, { "to over the end", 0, all - 8, 9 },
        { "more than there is", 0, 0, all + 1 },
        { "from 2^63", math.mininteger, 0, 1 }, { "to 2^64 - 1", 0, -1, 1 }, { "2^64 - 1 bytes", 0, 0, -1 },
        { "wrapping", -8, 0, 16 },
      } do
        one:copy(table.unpack(row))
      end
      one:request("no bytes", requests.copy)
      one:request("unmap", requests.unmap)
      one:copy("unmapped, nothing", 0, 0, 0)
      one:copy("unmapped, a byte", 0, 1, 1)
      one:copy("unmapped, over the end", 0, all, 1)
    end) },

    { "copies between ranges", case(function(with)
      local buf <close> = with.export({ 4, 1 }, { 2, 1 }, { 9, 2 })
      local one <close> = open(with)
      one:attach("attach", buf:fd())
      one:map("map", { 4 * PAGE, 2 * PAGE, 9 * PAGE })
      one:copy("within a range", 0, 100, 50)
      one:copy("over a border", PAGE - 10, 2 * PAGE, 20)
      one:copy("to over a border", 3 * PAGE, PAGE - 10, 20)
      one:copy("a page over all", 100, 2 * PAGE - 50, PAGE)
      one:copy("beyond the end", 0, 3 * PAGE, PAGE + 1)
      one:state("in the end")
    end) },

    -- Longer ones are cut where their pages do not lie side by side, which is chance.
    { "host memory, up to 64 KiB", case(function(with)
      local function try(name, buf)
        local _buf <close> = buf
        local one <close> = open(with)
        one:attach(name .. ", attach", buf:fd(), 0)
        one:map(name .. ", map")
        one:copy(name .. ", copy", 0, 64, 64)
        with.answer("size", sys.seek, buf:fd(), 0, 2)
        one:state(name)
      end
      for _, pages in ipairs { 1, 2, 15, 16 } do
        try(("a heap's %d pages"):format(pages), heap(pages * PAGE))
        try(("udmabuf of %d pages"):format(pages), udmabuf(pages * PAGE))
      end
    end) },

    { "host memory, its bytes", case(function(with)
      local memory <close> = heap(4 * PAGE)
      local window <close> = sys.mmap(memory:fd(), { length = 4 * PAGE })
      local sent = pattern.bytes(6000, 9)
      window:write(0, sent)
      local one <close> = open(with)
      one:attach("attach", memory:fd(), 0)
      one:map("map")
      one:copy("copy", 0, 2 * PAGE, 6000)
      with.answer:value("the bytes are there", window:read(2 * PAGE, 6000) == sent)
      with.answer:value("the byte behind them", window:read(2 * PAGE + 6000, 1))
    end) },

    { "a hint", case(function(with)
      local buf <close> = with.export { 0, 1 }
      local memory <close> = heap(PAGE)
      for _, row in ipairs { { "VFIO", buf }, { "heap", memory } } do
        local name, from = table.unpack(row --[[@as any[] ]])
        local one <close> = open(with)
        one:attach(name .. ", attach", from:fd())
        for _, extended in ipairs { 0, 1, 0xffffffff } do
          one:request(("%s, extended %d"):format(name, extended), requests.hint, string.pack("<I4I4", extended, 0))
        end
        one:request(name .. ", no bytes", requests.hint)
      end
    end) },
  },
}
