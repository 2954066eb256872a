-- Faults that the kernel makes on purpose (CONFIG_LKDTM: Documentation/fault-injection/provoke-crash.rst) and finds itself:
-- each fails its case, although every answer is right. For a kernel of `build-kernel --debug`.
local sys = require "sys"

local function provoke(kind)
  local file <close> = sys.open("/sys/kernel/debug/provoke-crash/DIRECT", 1)
  sys.write(file:fd(), kind)
end

local function case(kind)
  return { kind, function() provoke(kind) end }
end

return {
  name = "deaths-provoked",
  about = "a kernel that finds its own faults",
  effects = { "raw" },
  cases = {
    case "WARNING",
    { "WARNING, declared", function(t)
      t:expect_kernel_log "WARNING"
      provoke "WARNING"
    end },
    case "REFCOUNT_SUB_AND_TEST_NEGATIVE",
    case "CORRUPT_LIST_ADD",
    case "READ_AFTER_FREE",
    { "nothing", function() end },
  },
}
