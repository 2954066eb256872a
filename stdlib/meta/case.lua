---@meta case
-- Written by `peerlab stubs case`.

---The running case; the first argument of each case's function.
---@class case
local case = {}

---Ends the case as skipped.
---@param case any the case
---@param reason string why it cannot run here
function case.skip(case, reason) end

---Adds a line to the case's report.
---@param case any the case
---@param text string a line for the report
function case.log(case, text) end

---Ends the case as failed; what `expect` uses.
---@param message string what was expected and what was found
function case.fail(message) end

---"sim" where the bench is simulated, "real" where a real kernel answers.
---@param case any the case
---@return string
function case.bench(case) end

return case
