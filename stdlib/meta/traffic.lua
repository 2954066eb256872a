---@meta traffic
-- Written by `peerlab stubs traffic`.

---Streams of messages: posted, polled and timed natively.
---@class traffic
local traffic = {}

---Sends messages from one queue pair as fast as it goes. Returns what became of them; with `latency` a histogram from each post to its completion; with `rate` too, another one from when each was due, which has the time that messages waited because others were late. A rate that is missed by more than 1 % is a warning of the case.
---@param plan { qp: rdma.qp, opcode: ("rdma_write"|"rdma_write_with_imm"|"send"|"send_with_imm"|"rdma_read"|"atomic_cmp_and_swp"|"atomic_fetch_and_add"), mr: rdma.mr, offset?: integer|string, remote_addr?: integer, rkey?: integer, size?: integer|string, count?: integer, duration_ms?: integer|string, warmup?: integer, depth?: integer, batch?: integer, signal_every?: integer, inline?: boolean, rate?: number, latency?: boolean, slots?: integer, timeout_ms?: integer|string, sizes?: integer|string[] } what is sent, and how
---@return traffic.result, traffic.latency?, traffic.latency?
function traffic.stream(plan) end

---Messages to and fro between two roles, one at a time; both call it. Returns what became of them, and a histogram of half of each round trip.
---@param plan { qp: rdma.qp, opcode: ("rdma_write"|"send"), starts: boolean, mr: rdma.mr, send_offset?: integer|string, recv_offset: integer|string, remote_addr?: integer, rkey?: integer, size?: integer|string, count?: integer, warmup?: integer, inline?: boolean, timeout_ms?: integer|string, duration_ms?: integer|string } what goes to and fro
---@return traffic.round_trips, traffic.latency
function traffic.ping_pong(plan) end

---Fills memory with messages whose bytes tell which message they belong to.
---@param where { memory: memory.mapping, offset?: integer|string, size?: integer|string, slots?: integer, first_message?: integer, seed?: integer, sizes?: integer|string[] } which messages, and where
function traffic.stamp(where) end

---Looks whether memory holds what traffic.stamp wrote elsewhere: nil, or the first wrong byte.
---@param where { memory: memory.mapping, offset?: integer|string, size?: integer|string, slots?: integer, first_message?: integer, seed?: integer, sizes?: integer|string[] } which messages, and where
---@return traffic.mismatch?
function traffic.check(where) end

---Latencies in nanoseconds, to three digits.
---@class traffic.latency
local traffic_latency = {}

---What so many of them did not exceed; of none there is no quantile.
---@param q number 0 to 1: 0.5, 0.999
---@return integer
function traffic_latency:quantile(q) end

---How many there are, and their quantiles.
---@return traffic.summary
function traffic_latency:summary() end

---Closes it; twice is harmless.
function traffic_latency:close() end

---What became of a stream of messages.
---@class traffic.result
---@field messages integer how many were sent
---@field bytes integer bytes: what they had together
---@field elapsed_ns integer ns: from the first post to the last completion
---@field cpu_ns integer ns: processor time of that
---@field messages_per_s number messages/s: messages by time
---@field bytes_per_s number bytes/s: bytes by time
---@field failures table<string, integer> completions that failed: how many by status
---@field failure? rdma.completion the first of them
---@field rate_asked? number messages/s: with `rate`: that
---@field rate_reached? number messages/s: with `rate`: what was posted
---@field late? integer with `rate`: how many were posted when the next was due already

---What became of messages to and fro.
---@class traffic.round_trips
---@field messages integer how many round trips there were
---@field failure? rdma.completion the completion that ended them too early

---The first byte that differs from what was sent.
---@class traffic.mismatch
---@field message integer the number of its message
---@field byte integer bytes: where it is in the message
---@field offset integer bytes: where it is in the memory
---@field expected integer what was sent
---@field found integer what is there
---@field text string all of that in one sentence

---Latencies in short; of none there are no quantiles.
---@class traffic.summary
---@field count integer how many there are
---@field origin? string where a paced stream's are counted from: "post" or "due"
---@field mean_ns? number ns: their mean
---@field min_ns? integer ns: the least
---@field p50_ns? integer ns: what half did not exceed
---@field p90_ns? integer ns: what 90 % did not exceed
---@field p99_ns? integer ns: what 99 % did not exceed
---@field p999_ns? integer ns: what 99.9 % did not exceed
---@field max_ns? integer ns: the most

return traffic
