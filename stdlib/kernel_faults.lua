--- The kernel's own fault injection (Documentation/fault-injection): a real kernel is made to run out of memory, or to fail
--- a function, while a function of the script runs, for this program alone. Root's, and the kernel needs
--- CONFIG_FAULT_INJECTION_DEBUG_FS with CONFIG_FAILSLAB or CONFIG_FAIL_FUNCTION; the lab bench's has them. On a simulated
--- bench `bench.inject` refuses calls instead.
local sys = require "sys"

local faults = {}

local DEBUG, SELF = "/sys/kernel/debug/", "/proc/thread-self/"
local O_WRONLY, O_RDONLY = 1, 0

--- Writes a value to a file; raises where it cannot be opened, and where the kernel takes no such value.
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
  local ok, err = pcall(sys.open, DEBUG .. kind .. "/verbose", O_WRONLY)
  if not ok then
    return ("no fault injection (%s%s: %s)"):format(DEBUG, kind, type(err) == "table" and err.name or err)
  end
  err:close()
  return nil
end

--- Calls `fn(...)` again and again: the first time with the first thing failing that can fail in the kernel on the way (an
--- allocation, or a copy from or to the program), then the second, until a call passes undisturbed. `check(n, ok, result)`
--- sees each of the others: what pcall gave. Returns how many there were, and the undisturbed call's result.
function faults.each(check, fn, ...)
  put(DEBUG .. "failslab/ignore-gfp-wait", "N")
  put(DEBUG .. "failslab/verbose", 0)
  pcall(put, DEBUG .. "fail_usercopy/verbose", 0)
  for n = 1, 10000 do
    local file = sys.open(SELF .. "fail-nth", 2)
    local fd = file:fd()
    sys.write(fd, tostring(n))
    local ok, result = pcall(fn, ...)
    -- What is left of the count, 0 once it was reached. Reading it can use it up, and then fails.
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

--- Calls `fn(...)` while a function of the kernel returns `errno` (its number) to this thread, instead of being run: one of
--- those in debugfs error_injection/list, system calls ("__x64_sys_ioctl") among them. `times` is how often; default 1.
--- Returns what pcall gives.
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
