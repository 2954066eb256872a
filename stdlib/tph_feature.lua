--- VFIO_DEVICE_FEATURE_DMA_BUF_TPH as bytes, for scripts that send what typed functions refuse: the structures of the
--- posted revisions, and how to find which one a kernel has.
local tph_feature = {}

-- Flags, in structures that have a flags field.
tph_feature.ST, tph_feature.ST_EXT = 1, 2

--- Structures by the first revision with them: `size` and `format` of the fields in `order`; `reserved`: the offset of
--- a byte that must be 0; `flags`: whether there is a flags field; `clears`: whether flags of 0 clear the hint.
tph_feature.structures = {
  v2 = { size = 8, format = "<i4I2I1I1", order = { "fd", "st", "ph", "pad" }, reserved = 7 },
  v3 = {
    size = 16, format = "<i4I4I2I2I1I1I2", order = { "fd", "flags", "st", "st_ext", "ph", "pad", "pad" }, reserved = 13,
    flags = true,
  },
  v4 = { size = 12, format = "<i4I4I1I1I2", order = { "fd", "flags", "st", "ph", "st_ext" }, flags = true },
  v6 = {
    size = 12, format = "<i4I4I2I1I1", order = { "fd", "flags", "st_ext", "st", "ph" }, flags = true, clears = true,
  },
}
local structures = tph_feature.structures

--- Packs a structure; a field without a value is 0, flags are ST by default.
function tph_feature.pack(structure, values)
  local fields = {}
  for i, name in ipairs(structure.order) do
    fields[i] = values[name] or (name == "flags" and tph_feature.ST or 0)
  end
  return string.pack(structure.format, table.unpack(fields))
end

--- `data` with byte `offset` set to `value`.
function tph_feature.patched(data, offset, value)
  return data:sub(1, offset) .. string.char(value) .. data:sub(offset + 2)
end

--- Sends a SET with these bytes.
function tph_feature.set(dev, number, data)
  return dev:feature { number = number, operation = { "set" }, data = data }
end

--- The answer to a SET with these bytes: "0", or an errno's name.
function tph_feature.answer(dev, number, data)
  local ok, err = pcall(tph_feature.set, dev, number, data)
  return ok and "0" or err.name or error(err, 0)
end

--- Finds the feature: returns its number, its structure and the structure's name. The scenario's `needs` ensure that
--- one number is the feature. A SET with descriptor -1 changes nothing: size and values are checked before the
--- descriptor is looked up.
function tph_feature.identify(dev)
  local number
  for candidate = 13, 31 do
    if pcall(dev.feature, dev, { number = candidate, operation = { "probe", "set" } }) then
      number = number or candidate
    end
  end
  if not number then
    error("no number answers PROBE of SET, though DMA_BUF_TPH was found", 0)
  end
  for _, name in ipairs { "v2", "v6", "v3" } do
    local data = tph_feature.pack(structures[name], { fd = -1 })
    if tph_feature.answer(dev, number, data) == "EBADF" then
      -- Byte 11 is the hint in v6, and the tag in v4.
      local is_v4 = name == "v6" and tph_feature.answer(dev, number, tph_feature.patched(data, 11, 4)) == "EBADF"
      local found = is_v4 and "v4" or name
      return number, structures[found], found
    end
  end
  error("feature " .. number .. " takes no structure of the series", 0)
end

return tph_feature
