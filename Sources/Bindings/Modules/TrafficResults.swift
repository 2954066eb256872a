import Devices
import Histogram
import LuaKit

/// Result of a stream.
let streamRecord = ResultRecord<TrafficResult>(
    "traffic.result", "What became of a stream of messages.",
    [
        ResultField("messages", "how many were sent") { $0.messages },
        ResultField("messages_by_qp", "how many of them each queue pair sent, in the order of `qps`") {
            $0.messagesByPair
        },
        ResultField("bytes", .bytes, "what they had together") { Int64(clamping: $0.bytes) },
        ResultField("elapsed_ns", .nanoseconds, "from the first post to the last completion") {
            Int64(clamping: $0.elapsed)
        }.was("elapsed"),
        ResultField("cpu_ns", .nanoseconds, "processor time of that") {
            Int64(clamping: $0.processorTime)
        }.was("cpu"),
        ResultField("messages_per_s", .messagesPerSecond, "messages by time") { Double($0.messages) / $0.seconds },
        ResultField("bytes_per_s", .bytesPerSecond, "bytes by time") { Double($0.bytes) / $0.seconds },
        ResultField("failures", "completions that failed: how many by status") { result in
            Dictionary(result.failures.map { (Completion.name(ofStatus: $0.key), $0.value) }, uniquingKeysWith: +)
        },
        ResultField("failure", optional: completionRecord, "the first of them") { $0.firstFailure },
        ResultField("rate_asked", .messagesPerSecond, "with `rate`: that") { $0.pace?.asked },
        ResultField("rate_reached", .messagesPerSecond, "with `rate`: what was posted") { $0.pace?.reached },
        ResultField("late", "with `rate`: how many were posted when the next was due already") { $0.pace?.late },
    ])

extension TrafficResult {
    /// Never 0, as rates divide by it.
    fileprivate var seconds: Double { Double(max(elapsed, 1)) / 1e9 }
}

/// Result of a ping-pong.
let pingPongRecord = ResultRecord<(messages: Int, failure: Completion?)>(
    "traffic.round_trips", "What became of messages to and fro.",
    [
        ResultField("messages", "how many round trips there were") { $0.messages },
        ResultField("failure", optional: completionRecord, "the completion that ended them too early") { $0.failure },
    ])

/// First difference between memory and the bytes sent.
let mismatchRecord = ResultRecord<Stamp.Mismatch>(
    "traffic.mismatch", "The first byte that differs from what was sent.",
    [
        ResultField("message", "the number of its message") { $0.message },
        ResultField("byte", .bytes, "where it is in the message") { $0.byte },
        ResultField("offset", .bytes, "where it is in the memory") { $0.offset },
        ResultField("expected", "what was sent") { UInt32($0.expected) },
        ResultField("found", "what is there") { UInt32($0.found) },
        ResultField("text", "all of that in one sentence") { mismatch in
            "byte \(mismatch.byte) of message \(mismatch.message), at offset \(mismatch.offset): expected "
                + "\(digits(mismatch.expected)), found \(digits(mismatch.found))"
        },
    ])

private func digits(_ byte: UInt8) -> String { "0x" + (byte < 16 ? "0" : "") + String(byte, radix: 16) }

/// What a summary of latencies is made from.
struct LatencySummary {
    let histogram: Histogram<UInt64>
    let origin: LatencyHistogram.Origin?
}

/// Summary of a latency histogram.
let summaryRecord = ResultRecord<LatencySummary>(
    "traffic.summary", "Latencies in short; of none there are no quantiles.",
    [
        ResultField("count", "how many there are") { Int64(clamping: $0.histogram.totalCount) },
        ResultField("origin", "where a paced stream's are counted from: \"post\" or \"due\"") {
            $0.origin?.rawValue
        }.was("from"),
        ResultField("mean_ns", .nanoseconds, "their mean") {
            $0.histogram.totalCount > 0 ? $0.histogram.mean : nil
        }.was("mean"),
        quantile("min", "the least", 0), quantile("p50", "what half did not exceed", 50),
        quantile("p90", "what 90 % did not exceed", 90), quantile("p99", "what 99 % did not exceed", 99),
        quantile("p999", "what 99.9 % did not exceed", 99.9), quantile("max", "the most", 100),
    ])

private func quantile(
    _ name: String, _ doc: String, _ percentile: Double
) -> ResultField<LatencySummary> {
    ResultField(name + "_ns", .nanoseconds, doc) {
        $0.histogram.totalCount > 0 ? Int64(clamping: $0.histogram.valueAtPercentile(percentile)) : nil
    }.was(name)
}
