--- The kernel's own fault injection (Documentation/fault-injection): makes a real kernel run out of memory, or fail a
--- function, while a function of the script runs, for this program only. It needs root, and a kernel with
--- CONFIG_FAULT_INJECTION_DEBUG_FS and CONFIG_FAILSLAB or CONFIG_FAIL_FUNCTION, as the lab bench's has. On a simulated
--- bench use `bench.inject` instead.
local sys = require "sys"

local faults = {}

local DEBUG, SELF = "/sys/kernel/debug/", "/proc/thread-self/"
local O_WRONLY, O_RDONLY = 1, 0

--- Writes a value to a file; raises where the file cannot be opened or the kernel refuses the value.
local function put(path, value)
  local file <close> = sys.open(path, O_WRONLY)
  local answer = sys.write(file:fd(), tostring(value))
  if answer.result < 0 then
    error(("kernel_faults: %s takes no '%s': %s"):format(path, value, answer.name), 0)
  end
end

local function get(path)
  local file <close> = sys.open(path, O_RDONLY)
  return sys.read(file:fd(), 64).bytes or ""
end

--- Why faults of a kind ("failslab", "fail_function") cannot be injected here; nil where they can.
function faults.missing(kind)
  local ok, err = pcall(sys.open, DEBUG .. kind .. "/verbose", O_WRONLY) ---@type boolean, any
  if not ok then
    return ("no fault injection (%s%s: %s)"):format(DEBUG, kind, type(err) == "table" and err.name or err)
  end
  err:close()
  return nil
end

--- Calls `fn(...)` repeatedly: in the first call the first possible failure in the kernel occurs (an allocation, or a
--- copy from or to the program), in the second call the second one, until a call passes without a failure. `check(n,
--- ok, result)` gets the pcall results of each earlier call. Returns their number, and the result of the last call.
function faults.each(check, fn, ...)
  put(DEBUG .. "failslab/ignore-gfp-wait", "N")
  put(DEBUG .. "failslab/verbose", 0)
  pcall(put, DEBUG .. "fail_usercopy/verbose", 0)
  for n = 1, 10000 do
    local file = sys.open(SELF .. "fail-nth", 2)
    local fd = file:fd()
    sys.write(fd, tostring(n))
    local ok, result = pcall(fn, ...)
    -- The rest of the count, 0 once it was reached. Reading it may use it up, and then fails itself.
    local left = sys.read(fd, 16, 0).bytes
    while sys.write(fd, "0").result < 0 do end
    file:close()
    if not left or tonumber(left:match("%d+")) ~= 0 then
      if not ok then
        error(result, 0)
      end
      return n - 1, result
    end
    check(n, ok, result)
  end
  error("kernel_faults.each: there is no end of failures", 0)
end

--- Calls `fn(...)` while a function of the kernel returns `errno` (its number) to this thread without being run. The
--- function must be listed in debugfs error_injection/list; system calls ("__x64_sys_ioctl") are among them. `times`:
--- how often; default 1. Returns the results of pcall.
function faults.fail_function(name, errno, fn, times, ...)
  local folder = DEBUG .. "fail_function/"
  put(folder .. "inject", name)
  put(folder .. name .. "/retval", ("0x%x"):format(-errno))
  put(folder .. "task-filter", "Y")
  put(folder .. "probability", 100)
  put(folder .. "interval", 0)
  put(folder .. "verbose", 0)
  put(folder .. "times", times or 1)
  put(SELF .. "make-it-fail", 1)
  local results = table.pack(pcall(fn, ...))
  put(SELF .. "make-it-fail", 0)
  put(folder .. "inject", "")
  return table.unpack(results, 1, results.n)
end

--- Functions that can be made to fail, by name.
function faults.functions()
  local names = {}
  for name in get(DEBUG .. "error_injection/list"):gmatch("(%S+)%s[^\n]*") do
    names[name] = true
  end
  return names
end

return faults
