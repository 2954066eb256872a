--- What the conformance files about registration by mlx5 share.
local rdma, answers = require "rdma", require "answers"

local registering = {}

registering.options = {
  exporter = { type = "pci", default = "auto", id = "1af4:1110", about = "device whose BAR is exported" },
  nic = { type = "rdma", default = "auto", about = "the NIC" },
}

registering.answers = answers.new

--- A case with `answer`, `context`, `pd` and `opt`.
function registering.case(body)
  return function(t, opt)
    t:expect_kernel_log("^DMAR", true)
    local context <close> = rdma.open(opt.nic)
    local pd <close> = context:alloc_pd()
    body { answer = answers.new(t), context = context, pd = pd, opt = opt }
  end
end

--- Flags as one word.
function registering.name(access)
  return #access == 0 and "none" or table.concat(access, "|")
end

--- Records a registration and, in one answer, what the region says; closes it, unless it is kept.
---@return any mr
function registering.register(with, name, fn, request, keeps)
  local mr = with.answer(name, fn, with.pd, request)
  if not mr then
    return nil
  end
  with.answer:value(name .. ", the region", {
    length = mr:length(), same = mr:lkey() == mr:rkey(), none = mr:lkey() == 0,
    here = mr:addr() == (request.iova or request.memory and request.memory:addr() + (request.offset or 0)
      or request.offset or 0),
  })
  if keeps then
    return mr
  end
  with.answer(name .. ", closed", mr.close, mr)
end

return registering
