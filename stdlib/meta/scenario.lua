---@meta scenario
-- What a scenario's file returns. Write `---@type scenario` above its `return`, and an editor completes and checks its keys, and
-- knows what a case's function gets. A test compares this file with the program.

---A scenario.
---@class scenario
---@field name? string its name; default: the file's
---@field about? string one sentence
---@field concerns? string of a reproducer: kernel releases, revisions of a series
---@field expected? string of a reproducer: the behaviour of a correct kernel
---@field seen? string of a reproducer: the behaviour of a kernel with the bug
---@field options? table<string, scenario.option> what `--set NAME=VALUE` sets, by name
---@field needs? scenario.need[] abilities that the bench must have; without one it is skipped, with the reason
---@field effects? scenario.effect[] what it changes outside the script; others are refused
---@field roles? string[] names of the roles that run each case together
---@field cases scenario.case[]|table<string, fun(t: case, opt: table)> what it shows, in this order
---@field tags? string[] words by which batches select
---@field timeout? string|number limit of a run: seconds, or text such as "30s"
---@field memory? string|integer limit of a run: bytes, or text such as "256M"
---@field expected_failures? scenario.expected_failure[] cases that are known to fail, which is then counted apart
---@field matrix? table<string, any[]> options, each with the values that a batch gives it in turn

---A case: its name, and its function, which gets the case and the options' values.
---@alias scenario.case [string, fun(t: case, opt: table)]

---A known failure.
---@class scenario.expected_failure
---@field reason string why it fails
---@field case? string the case's name, in which "*" stands for any text; default: the whole run
---@field bench? "sim"|"lab"|"host" where it fails; default: everywhere
---@field sometimes? boolean whether it may pass too

---An option.
---@class scenario.option
---@field type "integer"|"size"|"sizes"|"number"|"boolean"|"string"|"enum"|"pci"|"rdma" of its values
---@field about? string one sentence
---@field default? string|number|boolean the value where none is set; without one it must be set
---@field min? integer|string of "integer", "size" and "sizes": the least
---@field max? integer|string of "integer", "size" and "sizes": the most
---@field values? string[] of "enum": its names
---@field id? string of "pci": "vendor:device" that "auto" takes
---@field memory? integer|string of "pci": bytes of a memory BAR that "auto" takes at least

---@alias scenario.need "vfio"|"vfio.dma_buf"|"vfio.dma_buf_tph"|"iommufd"|"type1"|"rdma"|"rdma.reg_dmabuf_mr"|"rdma.dmah"|"importer"

---@alias scenario.effect "open"|"region_write"|"config_write"|"reset"|"dma"|"raw"
