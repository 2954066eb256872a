--- The usual setup of a scenario: a device whose BAR is exported, and the NIC that registers it.
local vfio, rdma, scope, pci = require "vfio", require "rdma", require "scope", require "pci"

local fixture = {}

--- Bytes of a page, the unit of `export`.
fixture.PAGE = 4096

local function with(options, more)
  for name, option in pairs(more or {}) do
    options[name] = option
  end
  return options
end

--- The options of a scenario with an exporter: `exporter` (with a memory BAR of at least 64 KiB) and `region`. `more`
--- adds options, or replaces those of the same name.
---@param more? table<string, scenario.option>
---@return table<string, scenario.option>
function fixture.exporter_options(more)
  return with({
    exporter = { type = "pci", default = "auto", memory = "64K", about = "device whose BAR is exported" },
    region = { type = "integer", default = 2, min = 0, max = 5, about = "a memory BAR" },
  }, more)
end

--- The same, and `nic`, the RDMA device that registers the dma-buf.
---@param more? table<string, scenario.option>
---@return table<string, scenario.option>
function fixture.nic_options(more)
  return with(fixture.exporter_options { nic = { type = "rdma", default = "auto", about = "NIC that registers the dma-buf" } }, more)
end

---@class fixture.exporter: scope.scope
---@field opt table the options' values
---@field region integer the BAR
---@field dev vfio.device
---@field context rdma.context of `fixture.nic` alone
---@field pd rdma.pd of `fixture.nic` alone
local Exporter = scope.class "the exporter's fixture"

--- Exports ranges of the BAR: `{ page, count }` each, in pages of 4 KiB; without any, the first page.
---@param ... integer[]
---@return vfio.dmabuf
function Exporter:export(...)
  local ranges = {}
  for i, pages in ipairs { ... } do
    ranges[i] = { offset = pages[1] * fixture.PAGE, length = pages[2] * fixture.PAGE }
  end
  ranges[1] = ranges[1] or { offset = 0, length = fixture.PAGE }
  return self.dev:export_dmabuf { region_index = self.region, ranges = ranges }
end

--- Turns the exporter's memory decode on or off.
---@param on boolean
function Exporter:set_memory(on)
  pci.set_memory(self.dev, on)
end

--- Opens the device `opt.exporter`. Returns a scope, to be closed, with `dev`, `region` (`opt.region`, default 2) and
--- `opt`.
---@param opt table
---@return fixture.exporter
function fixture.vfio(opt)
  return scope.open(function(self)
    self.opt, self.region = opt, opt.region or 2
    self.dev = self:keep(vfio.open(opt.exporter))
  end, Exporter)
end

--- The same, and opens the RDMA device `opt.nic` with a protection domain: `context`, `pd`.
---@param opt table
---@return fixture.exporter
function fixture.nic(opt)
  return scope.open(function(self)
    self.opt, self.region = opt, opt.region or 2
    self.dev = self:keep(vfio.open(opt.exporter))
    self.context = self:keep(rdma.open(opt.nic))
    self.pd = self:keep(self.context:alloc_pd())
  end, Exporter)
end

return fixture
