-- Everything that a script can make the process hold ends at its limit.
local sys, memory = require "sys", require "memory"
local MAP_PRIVATE_ANONYMOUS = 0x22
local MIB = ("x"):rep(1 << 20)

--- Repeats `fn` until it is refused, and shows by what.
local function until_refused(name, fn)
  local keep = {}
  for n = 1, 1000000 do
    local ok, result = pcall(fn, n)
    if ok then
      keep[#keep + 1] = result
    else
      print(name, type(result) == "table" and result.message or result)
      return keep
    end
  end
  error(name .. " never ends")
end

return {
  name = "memory",
  cases = {
    { "a memory that is kept", function()
      until_refused("memory.alloc", function()
        return memory.alloc("16M")
      end)
    end },
    { "b memory that is closed or dropped", function()
      for _ = 1, 100 do
        memory.alloc("16M"):close()
        memory.alloc("16M")
      end
    end },
    { "c an anonymous mapping", function()
      until_refused("sys.mmap", function()
        return sys.mmap(-1, { length = #MIB, flags = MAP_PRIVATE_ANONYMOUS })
      end)
    end },
    { "d anonymous files", function()
      until_refused("sys.memfd", function()
        return sys.memfd(#MIB)
      end)
    end },
    { "e a file that grows", function()
      local file <close> = sys.memfd(0)
      until_refused("sys.write", function(n)
        sys.write(file:fd(), MIB, (n - 1) * #MIB)
      end)
    end },
    { "f the log", function(t)
      until_refused("case:log", function()
        t:log(MIB)
      end)
    end },
  },
}
