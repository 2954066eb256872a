--- The machine of the lab bench, as the simulated bench models it: Linux 7.3.4, rxe instead of a ConnectX. QEMU's
--- ivshmem-plain and edu are conventional PCI functions, its virtio-rng is a PCI Express one; numbers of IOMMU groups
--- and the IOMMU's registers are those in the guest.
---
--- A bench's name says which machine: "lab", and behind it, in this order, what flags of `peerlab run --bench lab` change:
---   exporter-none, -tph or -extended   --lab-exporter, by its completer; then size-16M, vectors-4, flr-off, d3-reset
---   importer                           --lab-importer
---   connectx                           --lab-nic; then tph-none or tph-tph, table-8, table-msix or table-none, odp-off,
---                                      vectors-64, lid-2
---   bridge, no-route, below-switch     --lab-machine
---   tph-v6, tph-v6-at-14               --lab-tph, or the series in the kernel itself
local express = {
  address = "0000:03:00.0", id = "1af4:1044", class = 0x00ff00, group = 9, kind = "memory",
  native_driver = "virtio-pci", config_keeps_writes = true,
  -- The MSI-X table is in the first. The second has virtio's registers, of which only some are modelled.
  bars = {
    { index = 1, size = "4K" },
    { index = 4, size = "16K", bits = 64, prefetchable = true, contents = { { at = 0x10, bytes = "ffff" } } },
  },
  config = {
    { at = 0x04, bytes = "0301 1000 01" }, { at = 0x2c, bytes = "f41a 0011" }, { at = 0x34, bytes = "dc" },
    { at = 0x3c, bytes = "0b 01" },
    -- PCI Express: an endpoint with function-level reset
    { at = 0x40, bytes = "1000 0200 0080 0010 0000 0000 1104 0000 0000 1100 00000000 00000000 00000000 00000000" },
    { at = 0x60, bytes = "00000000 0000 3000 00000000 00000000 00000000 00000000 00000000" },
    { at = 0x7c, bytes = "0140 0300 0000 0000" }, -- power management: D0 and D3hot, state is not kept in D3hot
    { at = 0x84, bytes = "097c 1001 04000000 00000000 00100000" }, -- virtio's registers, all vendor specific
    { at = 0x94, bytes = "0984 1003 04000000 00100000 00100000" },
    { at = 0xa4, bytes = "0994 1004 04000000 00200000 00100000" },
    { at = 0xb4, bytes = "09a4 1402 04000000 00300000 00100000 04000000" },
    { at = 0xc8, bytes = "09b4 1405 00000000 00000000 00000000 00000000" },
    { at = 0xdc, bytes = "11c8 0100 0100 0000 0108 0000" }, -- MSI-X: two vectors, table at 0, pending bits at 0x800
    { at = 0x100, bytes = "0100 8214 00000000 00000000 3020 4600 00000000 00e0 0000 a000 0000" }, -- error reporting
    { at = 0x148, bytes = "0f00 0100 2000 0000" }, -- address translation services
  },
  config_writable = {
    { at = 0x69, bytes = "80" }, { at = 0x74, bytes = "00000000 00000000" },
    { at = 0xcc, bytes = "ff" }, { at = 0xd0, bytes = "ffffffff ffffffff ffffffff" },
    { at = 0x10c, bytes = "30f0 ff03" }, { at = 0x114, bytes = "c1f1 0000 4001" },
    { at = 0x12c, bytes = ("00000000 "):rep(7) },
  },
}

--- A number's bytes, lowest first, as `config` has them.
local function bytes(format, number)
  return (string.pack(format, number):gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
  end))
end

--- Completer bits of Device Capabilities 2.
local completers = { none = "0000", tph = "0010", extended = "0030" }

--- Replaces QEMU's exporter by the one that peerlab serves, a PCI Express endpoint.
local function serve(exporter, is)
  exporter.config_size, exporter.completer = 4096, is.completer
  exporter.bars[1] = { index = 0, size = "16K" }
  exporter.bars[2].size = is.size or exporter.bars[2].size
  exporter.config = {
    { at = 0x04, bytes = "0201 1000 00" }, { at = 0x2c, bytes = "f41a 1011" }, { at = 0x34, bytes = "40" },
    { at = 0x40, bytes = "0148 0300" .. (is.d3 == "reset" and "0000" or "0800") .. "0000" }, -- power management: D0 and D3hot
    -- PCI Express: an endpoint, with function-level reset where it has one
    { at = 0x48, bytes = "1084 0200 e28f 00" .. (is.flr == "off" and "00" or "10") .. "1029 0000 0401 4000 0000 0411" },
    { at = 0x5c, bytes = "00000000 00000000 00000000 00000000" },
    { at = 0x6c, bytes = completers[is.completer] .. "0000" },
    { at = 0x70, bytes = "00000000 1e000000 04000000 00000000" },
    { at = 0x84, bytes = "1100" .. bytes("<I2", (is.vectors or 1) - 1) .. "0020 0000 0030 0000" }, -- MSI-X
    { at = 0x100, bytes = "00000000 00000000" },
  }
  exporter.config_writable =
    { { at = 0x04, bytes = "4605" }, { at = 0x50, bytes = "1f0d" }, { at = 0x70, bytes = "ffff" } }
end

--- virtio-rng of QEMU 11: extended tags; internal errors are masked at reset.
local function newer(device)
  local copy = {}
  for key, value in pairs(device) do
    copy[key] = value
  end
  copy.config, copy.config_writable = { table.unpack(device.config) }, { table.unpack(device.config_writable) }
  table.insert(copy.config, { at = 0x44, bytes = "20" })
  table.insert(copy.config, { at = 0x108, bytes = "0000 4002" })
  table.insert(copy.config_writable, { at = 0x108, bytes = "30f0 ff03" })
  return copy
end

--- The emulated ConnectX. Defaults: LID 1 of its InfiniBand port, 64 entries in its table of steering tags.
local function connectx(is)
  local tph, vectors, lid = is.tph or "extended", is.vectors or 16, is.lid or 1
  -- TPH Requester Capability: location of the table, and its number of entries.
  local register, entries = 5 | (tph == "extended" and 0x100 or 0), 0
  if is.table == "msix" then
    register = register | 2 | 2 << 9 | vectors - 1 << 16
  elseif is.table ~= "none" then
    entries = math.tointeger(is.table or 64) or 0
    register = register | 1 << 9 | entries - 1 << 16
  end
  return {
    id = "15b3:101d", class = 0x020700, kind = "nic", driver = "mlx5_core", tph_requester = tph ~= "none",
    bars = { { index = 0, size = "32M", bits = 64, prefetchable = true } },
    rdma = {
      name = "mlx5_0", driver = "mlx5", odp = is.odp ~= "off", requester = tph, steering_table = entries,
      own_memory = "256K", data_direct = false, firmware = "22.35.1010",
      subnet = { lid = lid, guid = 0x0c42a10300aabb01 },
      limits = {
        regions = 1 << 20, domains = 1 << 16, queue_pairs = 1 << 18, completion_queues = 1 << 18,
        shared_queues = 1 << 16,
      },
    },
    config = {
      { at = 0x04, bytes = "0605 1000" }, { at = 0x2c, bytes = "b315 1600" }, { at = 0x34, bytes = "40" },
      { at = 0x3c, bytes = "00 00" },
      -- PCI Express: an endpoint with function-level reset
      { at = 0x40, bytes = "107c 0200 e28f 0010 1029 0000 0401 4000 0000 0411 00000000 00000000 00000000 00000000" },
      { at = 0x60, bytes = "00000000 00000000 00000000 1e000000 04000000 00000000" },
      { at = 0x7c, bytes = "1188" .. bytes("<I2", 0x8000 | vectors - 1) .. "00200000 00300000" }, -- MSI-X, enabled
      { at = 0x88, bytes = "0100 0300 0800 0000" }, -- power management
      { at = 0x100, bytes = tph == "none" and "00000000 00000000" or "1700 0100" .. bytes("<I4", register) }, -- TPH requester
    },
  }
end

--- The settings that may follow a part of a name, and their values: a pattern, a set of words, a range of numbers, or a
--- test.
local settings = {
  exporter = {
    size = "%d+[KMGT]?", vectors = { 1, 64 }, flr = { on = true, off = true }, d3 = { keep = true, reset = true },
  },
  connectx = {
    tph = { none = true, tph = true, extended = true }, odp = { on = true, off = true }, vectors = { 2, 256 },
    lid = { 1, 0xbfff },
    table = function(word)
      local entries = math.tointeger(tonumber(word))
      return (word == "msix" or word == "none" or entries and entries >= 2 and entries <= 64) and word
    end,
  },
}

--- A setting's value; nil where the word is not one.
local function value(of, word)
  if word == nil then
    return nil
  elseif type(of) == "function" then
    return of(word) or nil
  elseif type(of) == "string" then
    return word:match("^" .. of .. "$")
  elseif of[1] then
    local number = math.tointeger(tonumber(word))
    return number and number >= of[1] and number <= of[2] and number or nil
  end
  return of[word] and word
end

--- Parses a name.
local function parts(name)
  local words, at, is = {}, 2, {}
  for word in (name .. "-"):gmatch "(.-)%-" do
    words[#words + 1] = word
  end
  local function take(word)
    local found = words[at] == word
    at = at + (found and 1 or 0)
    return found
  end
  -- "tph-v6" is the series, not a setting of the NIC, though NIC settings begin with "tph" too.
  local function take_settings(of, into)
    while of[words[at]] do
      local found = value(of[words[at]], words[at + 1])
      if not found then
        break
      end
      into[words[at]], at = found, at + 2
    end
  end
  if words[at] == "exporter" and completers[words[at + 1]] then
    is.exporter, at = { completer = words[at + 1] }, at + 2
    take_settings(settings.exporter, is.exporter)
  end
  is.importer = take "importer"
  if take "connectx" then
    is.nic = {}
    take_settings(settings.connectx, is.nic)
  end
  for _, machine in ipairs { "bridge", "no-route", "below-switch" } do
    local first, second = machine:match "^(%a+)%-?(%a*)$"
    if words[at] == first and (second == "" or words[at + 1] == second) then
      is.machine, at = machine, at + (second == "" and 1 or 2)
    end
  end
  if words[at] == "tph" and (words[at + 1] or ""):find "^v%d+$" then
    is.tph, at = words[at + 1], at + 2
    local number = words[at] == "at" and math.tointeger(tonumber(words[at + 1]))
    if number then
      is.tph_feature, at = number, at + 2
    end
  end
  if words[1] ~= "lab" or words[at] then
    error(("'%s' is no part of a lab's name here (stdlib/benches/lab_machine.lua)"):format(words[at] or name), 0)
  end
  return is
end

return function(name)
  local flags = parts(name)
  local bench = require "benches.machine"(name, { release = "7.3.4", tph = flags.tph, tph_feature = flags.tph_feature })
  bench.iommu = { aperture_bits = 39, forces_snooping = false, cap = 0x00d2008c22260206, ecap = 0xf00f4e }
  local machine = flags.machine or (flags.importer or flags.nic) and "bridge" or "no-route"
  -- The first group number of the devices: each root port has a group before them, and a port of the switch shares the
  -- group of the devices below it.
  local first = machine == "below-switch" and 6 or flags.nic and 8 or 7
  local exporter, engine, nic = table.unpack(bench.devices)
  -- Devices of another process need a newer QEMU. Its IOMMU has 48 bits and is in caching mode; its virtio-rng has more
  -- capabilities.
  local is_newer = flags.exporter or flags.nic
  if is_newer then
    bench.iommu.aperture_bits, bench.iommu.cap = 48, 0x80d2008c222f0686
  end
  local rng = is_newer and newer(express) or express
  rng.group = first + 2

  exporter.group, exporter.completer, exporter.tph_requester, exporter.config_size = first, nil, nil, 256
  exporter.config =
    { { at = 0x04, bytes = "0301 0000 01" }, { at = 0x2c, bytes = "f41a 0011" }, { at = 0x3d, bytes = "00" } }
  if flags.exporter then
    serve(exporter, flags.exporter)
  end
  exporter.driver = flags.tph and not flags.nic and "vfio_tph" or "vfio-pci"

  engine.group, engine.config_size = first + 1, 256
  engine.config = {
    { at = 0x04, bytes = flags.importer and "0701 1000 10" or "0301 1000 10" },
    { at = 0x2c, bytes = "f41a 0011" }, { at = 0x34, bytes = "40" }, { at = 0x3c, bytes = "0b 01" },
    { at = 0x40, bytes = "0500 8000" }, -- MSI: one vector, 64-bit
  }
  if flags.importer then
    engine.driver, engine.dma_mask = "edu_importer", -1
  end

  exporter.config_keeps_writes, engine.config_keeps_writes = not flags.exporter, true

  -- QEMU's virtio-net-pci, a conventional function of the root bus, below whose network interface rxe0 is.
  nic.address, nic.driver, nic.parent = "0000:00:04.0", "virtio-pci", "pci0000:00"
  nic.id, nic.kind, nic.group, nic.tph_requester, nic.config_size = "1af4:1000", "memory", 2, nil, 256
  nic.bars = {
    { index = 0, size = 32, kind = "io" }, { index = 1, size = "4K" },
    { index = 4, size = "16K", bits = 64, prefetchable = true },
  }
  nic.rdma = { name = "rxe0", driver = "rxe" }

  bench.host_bridges = { { name = "pci0000:00", peer_to_peer = "none" } }
  bench.platform = { zen = machine == "bridge", cpus = 2 }
  if machine == "below-switch" then
    bench.ports = {
      { address = "0000:00:05.0" },
      { address = "0000:01:00.0", parent = "0000:00:05.0" }, -- the switch's upstream port
      { address = "0000:02:00.0", parent = "0000:01:00.0" },
      { address = "0000:02:01.0", parent = "0000:01:00.0" },
      flags.nic and { address = "0000:02:02.0", parent = "0000:01:00.0" } or nil,
    }
    exporter.address, exporter.parent = "0000:03:00.0", "0000:02:00.0"
    engine.address, engine.parent = "0000:04:00.0", "0000:02:01.0"
  else
    table.insert(bench.devices, 3, rng)
  end
  if flags.nic then
    local emulated = connectx(flags.nic)
    emulated.address, emulated.group = "0000:04:00.0", 11
    if machine == "below-switch" then
      emulated.address, emulated.group, emulated.parent = "0000:05:00.0", 8, "0000:02:02.0"
    end
    table.insert(bench.devices, #bench.devices, emulated)
    if flags.nic.tph ~= "none" then
      -- Values from tph_completer and the ACPI table of scripts/lab/steering-tags.asl.
      bench.platform.cpu_tags, bench.platform.persistent_tags = { 0x1200, 0x1201 }, { 0x2400, 0x2401 }
    end
  end
  return bench
end
