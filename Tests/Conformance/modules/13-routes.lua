-- What an importer in the kernel is told of the ways to a BAR, and what a revocation does to its mapping. It wants the
-- lab's modules, so it is none of the files that `Tests/Conformance/compare` takes by itself; Tests/Lab/test names
-- the benches: a host bridge that Linux knows to pass requests on, one that it does not know, and a switch.
local vfio, importing = require "vfio", require "importing"

local PAGE = 4096
local case, mapped, open, set_command = importing.case, importing.mapped, importing.open, importing.set_command

local cases = {}

--- Ranges of the BAR, as pages, and where their pieces are where each has its own.
for _, ranges in ipairs {
  { name = "one page", { 0, 1 } },
  { name = "all of the BAR", { 0, 256 } },
  { name = "the last page", { 255, 1 } },
  { name = "two neighbours", { 0, 1 }, { 1, 1 } },
  { name = "two apart", { 0, 1 }, { 128, 2 } },
  { name = "two, the last first", { 128, 2 }, { 0, 1 } },
  { name = "the same one twice", { 3, 2 }, { 3, 2 } },
  { name = "two that overlap", { 3, 2 }, { 4, 2 } },
  { name = "three", { 1, 1 }, { 3, 1 }, { 5, 1 } },
} do
  cases[#cases + 1] = { "ranges: " .. ranges.name, case(function(with)
    local buf <close> = with.export(table.unpack(ranges))
    local one <close> = open(with)
    one:attach("attach", buf:fd())
    local places = {}
    for i, pages in ipairs(ranges) do
      places[i] = pages[1] * PAGE
    end
    one:map("map", places)
    one:state("mapped")
    set_command(with, 0)
    one:state("memory off")
    one:map("memory off", places)
    set_command(with, 2)
    one:map("memory on", places)
    one:state("memory on")
  end) }
end

for _, count in ipairs { 31, 32, 33, 100 } do
  cases[#cases + 1] = { ("ranges: %d"):format(count), case(function(with)
    local ranges, places = {}, {}
    for i = 1, count do
      ranges[i] = { 2 * i % 256, 1 }
      places[i] = 2 * i % 256 * PAGE
    end
    local buf <close> = with.export(table.unpack(ranges))
    local one <close> = open(with)
    one:attach("attach", buf:fd())
    one:map("map", places)
    one:copy("copy from the first to the last", 0, (count - 1) * PAGE, 16)
    one:state("mapped")
  end) }
end

--- What takes a mapping away: a name, and what is done.
local function feature(number)
  return function(with)
    with.answer:ioctl(("feature %d"):format(number), with.dev:fd(), "VFIO_DEVICE_FEATURE",
      string.pack("<I4I4", 8, number | 1 << 17))
  end
end
local function command(value)
  return function(with)
    set_command(with, value)
  end
end
local function reset(with)
  with.answer("reset", with.dev.reset, with.dev)
end
local function close(with)
  with.dev:close()
end

for _, steps in ipairs {
  { name = "reset", reset },
  { name = "two resets", reset, reset },
  { name = "memory off, on", command(0), command(2) },
  { name = "memory off twice, on twice", command(0), command(0), command(2), command(2) },
  { name = "memory on, which it is", command(2), command(6) },
  { name = "memory off, reset, on", command(0), reset, command(2) },
  { name = "asleep, awake", feature(3), feature(5) },
  { name = "asleep twice", feature(3), feature(3), feature(5) },
  { name = "awake, which it is", feature(5) },
  { name = "asleep, reset, awake", feature(3), reset, feature(5) },
  { name = "asleep, memory written, awake", feature(3), command(2), feature(5) },
  { name = "closed", close },
  { name = "memory off, closed", command(0), close },
  { name = "asleep, closed", feature(3), close },
  { name = "reset, closed", reset, close },
} do
  cases[#cases + 1] = { "revoke: " .. steps.name, mapped(function(with, one, buf)
    for i, step in ipairs(steps) do
      local what = ("step %d"):format(i)
      step(with)
      one:state(what)
      one:copy(what .. ", copy", 0, PAGE, 16)
      one:map(what .. ", map", { 0 })
      local two <close> = open(with)
      two:attach(what .. ", a new importer", buf:fd())
    end
    if steps[#steps] ~= close then
      one:moves("in the end")
    else
      local again <close> = vfio.open(with.opt.exporter)
      one:state("opened again")
      one:map("opened again, map", { 0 })
      with.answer:value("opened again, memory", again:load(vfio.CONFIG, 4, 2) & 2)
    end
  end) }
end

return {
  name = "conformance-routes",
  about = "an importer in the kernel: routes to one range and more, and revocation",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device whose BAR 2 is exported" },
  },
  needs = { "vfio.dma_buf" },
  cases = cases,
}
