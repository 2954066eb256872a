---@meta traffic
-- Written by `peerlab stubs traffic`.

---Streams of messages: posted, polled and timed natively.
---@class traffic
local traffic = {}

---Sends messages from one queue pair as fast as it goes. Returns messages, bytes, elapsed (ns), cpu (ns), messages_per_s, bytes_per_s, failures (status to count) and failure (the first, as cq:poll gives it), with `rate` rate_asked, rate_reached (messages posted per second) and late (how many were posted when the next was due already); with `latency` a histogram from each post to its completion; with both, another one from when each was due, which has the time that messages waited because others were late. A rate that is missed by more than 1 % is a warning of the case.
---@param plan { qp: rdma.qp, op: ("write"|"write_imm"|"send"|"send_imm"|"read"|"compare_swap"|"fetch_add"), from: rdma.mr, offset?: integer|string, remote_addr?: integer, rkey?: integer, size?: integer|string, count?: integer, duration?: integer, warmup?: integer, depth?: integer, batch?: integer, signal_every?: integer, inline?: boolean, rate?: number, latency?: boolean, slots?: integer, patience?: integer, sizes?: integer|string[] } what is sent, and how
---@return traffic.result, traffic.latency?, traffic.latency?
function traffic.stream(plan) end

---Messages to and fro between two roles, one at a time; both call it. Returns messages and failure, and a histogram of half of each round trip.
---@param plan { qp: rdma.qp, op: ("write"|"send"), first: boolean, mr: rdma.mr, from?: integer|string, into: integer|string, remote_addr?: integer, rkey?: integer, size?: integer|string, count?: integer, warmup?: integer, inline?: boolean, patience?: integer, duration?: integer } what goes to and fro
---@return traffic.result, traffic.latency
function traffic.ping_pong(plan) end

---Fills memory with messages whose bytes tell which message they belong to.
---@param where { memory: memory.mapping, offset?: integer|string, size?: integer|string, slots?: integer, first?: integer, seed?: integer, sizes?: integer|string[] } which messages, and where
function traffic.stamp(where) end

---Looks whether memory holds what traffic.stamp wrote elsewhere. nil, or the first wrong byte: message, byte (in the message), offset (in the memory), expected, found, text.
---@param where { memory: memory.mapping, offset?: integer|string, size?: integer|string, slots?: integer, first?: integer, seed?: integer, sizes?: integer|string[] } which messages, and where
---@return traffic.mismatch?
function traffic.check(where) end

---Latencies in nanoseconds, to three digits.
---@class traffic.latency
local traffic_latency = {}

---What so many of them did not exceed; of none there is no quantile.
---@param q number 0 to 1: 0.5, 0.999
---@return integer
function traffic_latency:quantile(q) end

---count, and of more than none min, max, mean, and p50, p90, p99, p999; from ("post" or "due") of a paced stream's.
---@return traffic.summary
function traffic_latency:summary() end

---Closes it; twice is harmless.
function traffic_latency:close() end

return traffic
