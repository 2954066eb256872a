---@meta case
-- Written by `peerlab stubs case`.

---The running case; the first argument of each case's function.
---@class case
local case = {}

---Ends the case as skipped.
---@param reason string why it cannot run here
function case:skip(reason) end

---Adds a line to the case's report.
---@param value any a line for the report; of what is no text, what tostring makes of it: `inspect.text` shows a table's contents
function case:log(value) end

---what it depends on
---@class case.metric.labels
---@field unit? string "B/s", "ns"
---@field better? ("higher"|"lower") what a regression is
---@field size? integer|string bytes of a message
---@field st? integer steering tag
---@field ph? ("bidirectional"|"requester"|"target"|"target-priority") processing hint

---Keeps a number that was measured in the result, to be charted and compared.
---@param name string what was measured
---@param value number the number
---@param labels? case.metric.labels what it depends on
function case:metric(name, value, labels) end

---what they depend on
---@class case.latencies.labels
---@field size? integer|string bytes of a message
---@field st? integer steering tag
---@field ph? ("bidirectional"|"requester"|"target"|"target-priority") processing hint

---Keeps a distribution of latencies in the result, and its p50 and p99 as metrics. Of a paced stream's the name says from what they count: "from post", "from due".
---@param name string what was measured
---@param histogram traffic.latency as `traffic` gives it
---@param labels? case.latencies.labels what they depend on
function case:latencies(name, histogram, labels) end

---Declares that the kernel will complain while the case runs, or has just done so: a complaint (WARNING, BUG, a report of lockdep or KASAN, an IOMMU fault, a new taint flag) that no pattern fits fails the case, and so does a pattern that nothing fits. Where nobody can see a kernel's log, as on a simulated bench, the result says that this was not checked.
---@param pattern string a Lua pattern that a line of the kernel's log has
---@param sometimes? boolean whether the kernel may leave it out: it limits how often it reports an IOMMU fault, for one
function case:expect_kernel_log(pattern, sometimes) end

---Ends the case as failed; what `expect` uses. Records keep which answer was wrong.
---@param message string what was expected and what was found
---@param found? string what the kernel answered: "EADDRINUSE"
---@param right? string what a right kernel answers
---@param what? string of what: "the map"
function case.fail(message, found, right, what) end

---Ends a case about a known bug as failed, as the kernel does not have the bug. Records and results keep that.
---@param message string what was found
---@param right string the answer, which is a right kernel's
---@param what? string of what: "the map"
function case.fixed(message, right, what) end

---Says in a record that an answer of the kernel is wrong, and goes on: a mail or C made of the record then knows the bug. For a case that passes while the kernel has a known bug.
---@param found string what the kernel answered: "EADDRINUSE"
---@param right string what a right kernel answers
---@param what? string of what: "the map"
function case.wrong(found, right, what) end

---An errno's number; a name that none has is refused. What `expect` uses.
---@param name string a C name, such as "EINVAL"
---@return integer
function case.errno(name) end

---The name that was probably meant; nil where none is near. What errors of the library's module `keys` suggest.
---@param word string a name that is not known
---@param names string[] those that are
---@return string?
function case.nearest(word, names) end

---"sim" where the bench is simulated, "real" where a real kernel answers.
---@return string
function case:bench() end

---This role's name.
---@return string
function case:role() end

---The other roles' names.
---@return string[]
function case:peers() end

---Waits until every role is here.
---@param timeout_ms? integer|string after which the others are lost
function case:barrier(timeout_ms) end

---Hands a value to another role. Does not wait.
---@param value any a plain value: tables, strings, numbers, booleans
---@param role? string default: every other
function case:send(value, role) end

---The next value that another role sent, in the order of its sending.
---@param role? string default: the other one
---@param timeout_ms? integer|string after which the others are lost
---@return any
function case:receive(role, timeout_ms) end

---Sends a value to the other role and returns what that one sent; of two roles.
---@param value any a plain value
---@param timeout_ms? integer|string after which the others are lost
---@return any
function case:exchange(value, timeout_ms) end

return case
