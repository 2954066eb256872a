-- peerlab run --bench sim:stock scripts/reproducers/feature-number.lua
-- Also sim:tph-v3 to sim:tph-v11, sim:tph-v11-at-14, sim:lab, and --bench lab with and without --lab-tph.
-- Only PROBEs: a GET of 13 writes through a pointer in its data where 13 is ZPCI_ERROR, and a SET of a number that is
-- something else may change the device.
local sys, expect, reproducing = require "sys", require "expect", require "reproducing"

local GET, SET, PROBE = 1 << 16, 1 << 17, 1 << 18
local FIRST, LAST = 13, 31

-- What a number can be, by the answers to PROBE, PROBE of SET and PROBE of GET.
local KINDS = {
  ["ENOTTY ENOTTY ENOTTY"] = "absent",
  ["0 0 EINVAL"] = "a feature to SET, as DMA_BUF_TPH is",
  ["EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP"] = "DMA_BUF_TPH of v6 or v9 to v11, on a device that has no use for it",
  ["0 EINVAL 0"] = "a feature to GET: ZPCI_ERROR at 13",
  ["ENODEV ENODEV ENODEV"] = "ZPCI_ERROR of a device that is none of zPCI",
}

local function probe(dev, flags)
  local answer = sys.ioctl(dev:fd(), "VFIO_DEVICE_FEATURE", string.pack("<I4I4", 8, PROBE | flags))
  return answer.name or tostring(answer.result)
end

--- What a number of the device is.
local function kind(dev, number)
  local answers = table.concat({ probe(dev, number), probe(dev, SET | number), probe(dev, GET | number) }, " ")
  return KINDS[answers], answers
end

return {
  name = "feature-number",
  about = "feature number 13 is ZPCI_ERROR in Linux 7.3 and DMA_BUF_TPH in the series: what tells them apart",
  tags = { "tph" },
  concerns = "Linux 7.3 and later, DMA_BUF_TPH v2 to v11",
  expected = "DMA_BUF_TPH has a number of its own. PROBE of SET answers 0 for it and EINVAL for ZPCI_ERROR, PROBE of "
    .. "GET the other way round; without CONFIG_VFIO_PCI_ZDEV_KVM 13 is ENOTTY",
  seen = "PROBE alone answers 0 for both, and a program that GETs 13 then has the kernel write where its data "
    .. "points to",
  effects = { "open", "raw" },
  options = reproducing.exporter_options(),
  needs = { "vfio" },
  cases = {
    { "PROBEs tell what 13 is", reproducing.case(function(f, _, t)
      local found, answers = kind(f.dev, 13)
      t:log(("13: PROBE, of SET, of GET: %s: %s"):format(answers, found or "unknown"))
      expect.truthy(found, "what answers so to PROBEs: " .. answers)
    end) },
    { "PROBE alone is not enough", reproducing.case(function(f, _, t)
      for number = FIRST, LAST do
        local found, answers = kind(f.dev, number)
        expect.truthy(found, ("what answers so to PROBEs of %d: %s"):format(number, answers))
        -- What answers PROBE is one of two, and only the operation says which.
        if answers:find("^0 ") then
          expect.equal(answers:find("^0 0 ") ~= nil, answers:find(" EINVAL$") ~= nil, "either SET or GET, not both")
        end
        if found ~= "absent" then
          t:log(("%d: %s"):format(number, found))
        end
      end
    end) },
    { "one number at most is DMA_BUF_TPH", reproducing.case(function(f, _, t)
      local numbers = {}
      for number = FIRST, LAST do
        if probe(f.dev, SET | number) == "0" then
          numbers[#numbers + 1] = number
        end
      end
      expect.truthy(#numbers <= 1, "one number to SET; found " .. table.concat(numbers, ", "))
      t:log(numbers[1] and ("it is %d"):format(numbers[1]) or "none: this kernel has no DMA_BUF_TPH")
      if numbers[1] == 13 then
        t:log("13 is ZPCI_ERROR in Linux 7.3: a merged series needs another number")
      end
    end) },
    { "a PROBE changes nothing and needs no data", reproducing.case(function(f)
      local _, before = kind(f.dev, 13)
      for _, flags in ipairs { 0, SET, GET } do
        local request = string.pack("<I4I4", 24, PROBE | flags | 13) .. ("\xff"):rep(16)
        local long = sys.ioctl(f.dev:fd(), "VFIO_DEVICE_FEATURE", request)
        expect.equal(long.name or tostring(long.result), probe(f.dev, flags | 13), "PROBE with data")
        expect.equal((long.bytes or ""):sub(9), ("\xff"):rep(16), "the data")
      end
      local _, after = kind(f.dev, 13)
      expect.equal(after, before, "answers")
    end) },
  },
}
