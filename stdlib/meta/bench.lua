---@meta bench
-- Written by `peerlab stubs bench`.

---The bench itself: what it saw on its links, and what it shall refuse. Only simulated benches have them, and the lab with an emulated ConnectX those about requests.
---@class bench
local bench = {}

---default: all
---@class bench.tlps.filter
---@field kind? ("read"|"write") only these
---@field requester? string sent by: "0000:03:00.0"
---@field target? string sent to: "0000:01:00.0", or "memory"
---@field hinted? boolean with a processing hint, or without
---@field first_number? integer skips the requests before that one
---@field relaxed_ordering? boolean with that attribute, or without

---Requests on the links, oldest first, at most 65536.
--- * `EOPNOTSUPP`: this bench sees no links
---@param filter? bench.tlps.filter default: all
---@return bench.tlp[]
function bench.tlps(filter) end

---Forgets the requests so far.
--- * `EOPNOTSUPP`: this bench sees no links
function bench.clear_tlps() end

---which calls, and what they are answered
---@class bench.inject.fault
---@field operation? string as errors name it: "IOMMU_IOAS_MAP", "VFIO_DEVICE_FEATURE DMA_BUF GET", "ibv_reg_mr"
---@field error? string one it can give: "ENOMEM"
---@field when? string "2" for the second call from now on, "2+" from it on, "2+3" for it and every third after it; default: "1"
---@field completion? ("LOC_LEN_ERR"|"LOC_QP_OP_ERR"|"LOC_PROT_ERR"|"BAD_RESP_ERR"|"REM_INV_REQ_ERR"|"REM_ACCESS_ERR"|"REM_OP_ERR"|"RETRY_EXC_ERR"|"RNR_RETRY_EXC_ERR"|"FATAL_ERR"|"GENERAL_ERR") instead: how a work request of a reliable connection ends, of which nothing is carried out; `when` counts work requests
---@field lost? integer instead: so many tries of a work request are lost; more than retry_cnt of them end it with RETRY_EXC_ERR
---@field rnr? integer instead: so many tries find no receive request; more than rnr_retry of them, unless that is 7, end it with RNR_RETRY_EXC_ERR
---@field rate? number instead: any call, with this probability, above 0 to 1
---@field seed? integer what decides with `rate`, and with which error

---Calls that are refused instead of being made, or work requests that fail or are tried again, until bench.clear_faults(). A close is made all the same. Work requests of streams count too.
--- * `EOPNOTSUPP`: this bench's kernel is real
---@param fault bench.inject.fault which calls, and what they are answered
function bench.inject(fault) end

---No call is refused any more. Returns how many were in this run.
---@return integer
function bench.clear_faults() end

---The errors that an operation can give. One that is not known is refused.
---@param operation string as errors name it
---@return string[]
function bench.refusals(operation) end

---A request on a link.
---@class bench.tlp
---@field number integer its number, from 1
---@field time_ns integer ns: when it was sent
---@field kind string "read" or "write"
---@field name? string as its header's type and format say: "MWr(64)"
---@field requester string who sent it: a PCI address
---@field target string who gets it: a PCI address, or "memory"
---@field region? integer which BAR it reaches
---@field offset? integer bytes: where in that BAR
---@field addr integer the address on the link
---@field length integer bytes: what it reads or writes
---@field relaxed_ordering boolean whether it has that attribute
---@field ph? string the processing hint of one that has a hint
---@field st? integer its steering tag
---@field extended? boolean whether that has 16 bits
---@field mode string "non-flit" or "flit": what its header looks like
---@field words? integer[] the header's double words

return bench
