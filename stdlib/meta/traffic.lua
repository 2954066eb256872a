---@meta traffic
-- Written by `peerlab stubs traffic`.

---Streams of messages: posted, polled and timed natively.
---@class traffic
local traffic = {}

---what is sent, and how
---@class traffic.stream.plan
---@field qp? rdma.qp a connected queue pair, whose completions nobody else takes; or `qps`
---@field qps? rdma.qp[] or several, which have the messages in turn, in the same memory; depth, batch and signal_every are each one's
---@field opcode ("rdma_write"|"rdma_write_with_imm"|"send"|"send_with_imm"|"rdma_read"|"atomic_cmp_and_swp"|"atomic_fetch_and_add") what each message does
---@field mr rdma.mr the local memory region
---@field offset? integer|string start in it
---@field remote_addr? integer address in the peer's region, as `mr:addr` gives it, which RDMA and atomics need
---@field rkey? integer the peer's region's key, which RDMA and atomics need
---@field size? integer|string bytes of a message; default 4096, and 8 for atomics
---@field count? integer how many messages; default 5000, unless `duration_ms` is given
---@field duration_ms? integer|string or for how long
---@field warmup? integer how many before the clock starts
---@field depth? integer how many may be on their way; default: 128, or the queue pair's max_send_wr
---@field batch? integer how many are posted with one call
---@field signal_every? integer every so many-th reports its completion; default: half of depth
---@field inline? boolean the bytes are taken at once
---@field rate? number messages per second, at most; one that is late is posted at once, until it has caught up
---@field latency? boolean keep the time from post to completion, and with `rate` from when each was due; sets signal_every to 1
---@field slots? integer messages lie in so many places side by side, in turn
---@field pieces? integer scatter/gather entries of a request: its bytes are so many equal parts, the last one with what is left; at most the queue pair's max_send_sge
---@field timeout_ms? integer|string so long without a completion: the peer is lost
---@field sizes? (integer|string)[] or several sizes, which messages have in turn; their places are as far apart as the largest

---Sends messages from a queue pair, or from several in turn, as fast as it goes. Returns what became of them; with `latency` a histogram from each post to its completion; with `rate` too, another one from when each was due, which has the time that messages waited because others were late. A rate that is missed by more than 1 % is a warning of the case.
---Changes: dma.
--- * `ETIMEDOUT`: no completion came for too long
--- * `EINVAL`: not connected
---@param plan traffic.stream.plan what is sent, and how
---@return traffic.result, traffic.latency?, traffic.latency?
function traffic.stream(plan) end

---what goes to and fro
---@class traffic.ping_pong.plan
---@field qp rdma.qp a connected queue pair, whose completions nobody else takes
---@field opcode ("rdma_write"|"send") RDMA writes, whose last byte is watched; or sends
---@field starts boolean whether this side begins
---@field mr rdma.mr host memory that messages are sent from and come to
---@field send_offset? integer|string where in it they are sent from
---@field recv_offset integer|string where in it the peer's come to
---@field remote_addr? integer where the peer's come to, which writes need
---@field rkey? integer the peer's region's key, which writes need
---@field size? integer|string bytes of a message
---@field count? integer how many round trips; default 1000, unless `duration_ms` is given
---@field warmup? integer how many before them
---@field inline? boolean the bytes are taken at once
---@field timeout_ms? integer|string so long without a message: the peer is lost
---@field duration_ms? integer|string or for how long, which the side that begins measures; both sides must say so

---Messages to and fro between two roles, one at a time; both call it. Returns what became of them, and a histogram of half of each round trip.
---Changes: dma.
--- * `ETIMEDOUT`: the peer is lost
--- * `EINVAL`: not connected
---@param plan traffic.ping_pong.plan what goes to and fro
---@return traffic.round_trips, traffic.latency
function traffic.ping_pong(plan) end

---which messages, and where
---@class traffic.stamp.where
---@field memory memory.mapping host memory, or a device's region
---@field offset? integer|string start in it
---@field size? integer|string bytes of a message; or `sizes`
---@field slots? integer how many messages lie side by side
---@field first_message? integer number of the first one
---@field seed? integer streams with different seeds have different bytes
---@field sizes? (integer|string)[] or several sizes, which messages have in turn; their places are as far apart as the largest

---Fills memory with messages whose bytes tell which message they belong to.
--- * `EINVAL`: outside the memory
---@param where traffic.stamp.where which messages, and where
function traffic.stamp(where) end

---which messages, and where
---@class traffic.check.where
---@field memory memory.mapping host memory, or a device's region
---@field offset? integer|string start in it
---@field size? integer|string bytes of a message; or `sizes`
---@field slots? integer how many messages lie side by side
---@field first_message? integer number of the first one
---@field seed? integer streams with different seeds have different bytes
---@field sizes? (integer|string)[] or several sizes, which messages have in turn; their places are as far apart as the largest

---Looks whether memory holds what traffic.stamp wrote elsewhere: nil, or the first wrong byte.
--- * `EINVAL`: outside the memory
---@param where traffic.check.where which messages, and where
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
---@field messages_by_qp integer[] how many of them each queue pair sent, in the order of `qps`
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
