-- What mlx5_ib answers to a registration of host memory: every combination of access flags, ranges, what is no memory, and
-- the order of closing.
local vfio, rdma, memory = require "vfio", require "rdma", require "memory"
local registering = require "registering"

local PAGE = 4096
local case, register = registering.case, registering.register

local FLAGS = { "local_write", "remote_write", "remote_read", "remote_atomic", "mw_bind", "relaxed_ordering" }

--- The flags that a number's bits stand for.
local function flags(number)
  local access = {}
  for i, flag in ipairs(FLAGS) do
    if number >> (i - 1) & 1 == 1 then
      access[#access + 1] = flag
    end
  end
  return access
end

return {
  name = "conformance-mlx5-registration",
  about = "registration of host memory by mlx5",
  options = registering.options,
  cases = {
    { "access flags", case(function(with)
      local host <close> = memory.alloc(2 * PAGE)
      for number = 0, (1 << #FLAGS) - 1 do
        local access = flags(number)
        register(with, registering.name(access), with.pd.reg_mr, { memory = host, access = access })
      end
    end) },

    { "flags that are not everywhere", case(function(with)
      local host <close> = memory.alloc(2 * PAGE)
      for _, access in ipairs {
        { "on_demand" }, { "on_demand", "local_write" }, { "on_demand", "remote_write" },
        { "on_demand", "local_write", "remote_write", "remote_read" },
        { "on_demand", "local_write", "remote_atomic" }, { "on_demand", "local_write", "mw_bind" },
        { "on_demand", "local_write", "relaxed_ordering" }, { "on_demand", "zero_based" },
        { "zero_based" }, { "zero_based", "local_write" }, { "zero_based", "remote_write" },
        { "hugetlb" }, { "hugetlb", "local_write" }, { "hugetlb", "on_demand" },
      } do
        register(with, registering.name(access), with.pd.reg_mr, { memory = host, access = access })
      end
    end) },

    { "ranges", case(function(with)
      local host <close> = memory.alloc(16 * PAGE)
      for _, range in ipairs {
        { 0, 1 }, { 0, PAGE }, { 0, PAGE + 1 }, { 0, 16 * PAGE }, { 1, 1 }, { 4095, 1 }, { 4095, 2 }, { 100, 5000 },
        { PAGE, PAGE }, { 3 * PAGE, 7 * PAGE }, { 15 * PAGE, PAGE }, { 16 * PAGE - 1, 1 },
      } do
        register(with, ("%d bytes from %d"):format(range[2], range[1]), with.pd.reg_mr,
          { memory = host, offset = range[1], length = range[2], access = { "local_write" } })
      end
      for _, pages in ipairs { 1, 2, 4, 8, 64, 255, 256, 257 } do
        local more <close> = memory.alloc(pages * PAGE)
        register(with, pages .. " pages", with.pd.reg_mr, { memory = more, access = { "local_write" } })
      end
    end) },

    { "the same memory more than once", case(function(with)
      local host <close> = memory.alloc(PAGE)
      local one <close> = register(with, "one", with.pd.reg_mr, { memory = host, access = { "local_write" } }, true)
      local two <close> = register(with, "two", with.pd.reg_mr, { memory = host, access = { "local_write" } }, true)
      local three <close> = register(with, "three", with.pd.reg_mr, { memory = host }, true)
      with.answer:value("keys differ", one:lkey() ~= two:lkey() and two:lkey() ~= three:lkey())
      local key = two:lkey()
      with.answer("close two", two.close, two)
      local again <close> = register(with, "two again", with.pd.reg_mr, { memory = host, access = { "local_write" } }, true)
      with.answer:value("with the key that was free", again:lkey() == key)
    end) },

    { "what is no memory of the machine", case(function(with)
      local dev <close> = vfio.open(with.opt.exporter)
      local bar <close> = dev:mmap(2, { length = 4 * PAGE })
      for _, access in ipairs { {}, { "local_write" }, { "local_write", "remote_write" }, { "on_demand" } } do
        register(with, "a BAR, " .. registering.name(access), with.pd.reg_mr, { memory = bar, access = access })
      end
    end) },

    { "domains", case(function(with)
      local host <close> = memory.alloc(PAGE)
      local answer, pd = with.answer, with.pd
      local second <close> = answer("a second", with.context.alloc_pd, with.context)
      local mr <close> = answer("a region", pd.reg_mr, pd, { memory = host })
      local other <close> = answer("a region of the second", second.reg_mr, second, { memory = host })
      answer("close with a region", pd.close, pd)
      answer("close the second with a region", second.close, second)
      answer("close the region", mr.close, mr)
      answer("close again", mr.close, mr)
      answer("close without", pd.close, pd)
      answer("close the other", other.close, other)
      answer("close the second", second.close, second)
    end) },

    { "the device", function(t, opt)
      local answer = registering.answers(t)
      answer("a device that is not there", rdma.open, "mlx5_9")
      local context <close> = rdma.open(opt.nic)
      answer:value("query", context:query_device())
      answer:value("port 1", context:query_port(1))
      answer("port 2", context.query_port, context, 2)
      answer("port 255", context.query_port, context, 255)
      for _, gid in ipairs(context:gids()) do
        answer:value("a GID", gid)
      end
      answer("GIDs of port 2", context.gids, context, 2)
      local _dm <close> = answer("device memory", context.alloc_dm, context, 64)
      answer("none of it", context.alloc_dm, context, 0)
      for _, entries in ipairs { 1, 2, 63, 64, 100, 4094, 4194304, 4194305, 1 << 24, 0x7fffffff } do
        local _cq <close> = answer("a queue of " .. entries, context.create_cq, context, entries)
      end
    end },
  },
}
