import Bindings
import LuaKit

// Results of cases, as processes of different roles send them to each other.

extension CaseResult {
    /// Approximate size in bytes.
    var weight: Int {
        let texts = [
            message, error?.kind.text, error?.operation, error?.name, error?.object, error?.request, error?.hint,
            error?.traceback,
        ].reduce(name.weight) { $0 + ($1?.weight ?? 0) }
        return log.reduce(texts) { $0 + $1.weight } + metrics.reduce(0) { $0 + $1.weight }
            + distributions.reduce(0) { $0 + $1.weight } + evidence.reduce(0) { $0 + $1.weight }
    }

    /// Why a result from another process is refused; nil where it is accepted.
    var refusal: String? {
        guard weight <= RoleEvent.mostResult else {
            return "its result takes more than \(RoleEvent.mostResult >> 20) MiB"
        }
        let numbers = metrics.map(\.value) + distributions.flatMap { [$0.mean] + $0.percentiles.joined() }
        return numbers.allSatisfy(\.isFinite) ? nil : "its result has a number that is none"
    }

    /// The result cut to the size that other processes accept. This process keeps all of it.
    var told: CaseResult {
        guard weight > RoleEvent.mostResult else { return self }
        // Fields that are short in any normal run come first, the longest ones last.
        var told = CaseResult(name: name.cut, verdict: verdict, duration_ns: duration_ns)
        told.message = message?.cut
        told.error = error.map { error in
            var short = ErrorValue(kind: ErrorKind(error.kind.text.cut), "")
            (short.operation, short.errno, short.name) = (error.operation?.cut, error.errno, error.name?.cut)
            (short.object, short.request) = (error.object?.cut, error.request?.cut)
            (short.hint, short.traceback) = (error.hint?.cut, error.traceback?.cut)
            return ErrorFields(short)
        }
        var room = RoleEvent.mostResult - told.weight - 1024
        func fitting<Item>(_ items: [Item], _ weight: (Item) -> Int) -> [Item] {
            Array(
                items.prefix {
                    room -= weight($0)
                    return room >= 0
                })
        }
        told.evidence = fitting(evidence, \.weight)
        told.distributions = fitting(distributions, \.weight)
        told.metrics = fitting(metrics, \.weight)
        told.log = fitting(log, \.weight)
        let left = [
            (log.count - told.log.count, "lines"), (metrics.count - told.metrics.count, "metrics"),
            (distributions.count - told.distributions.count, "distributions"),
            (evidence.count - told.evidence.count, "findings about hints"),
        ].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
        if !left.isEmpty { told.log.append("only in this role's own results: \(left.joined(separator: ", "))") }
        return told
    }

    /// The result as other roles see it: a role that was interrupted elsewhere has failed, not been interrupted here.
    func ofPeer(_ role: String) -> CaseResult {
        guard verdict == .interrupted else { return self }
        let error = ErrorValue(kind: .peer, "role '\(role)' was interrupted")
        var result = CaseResult(name: name, verdict: .fail, duration_ns: duration_ns)
        result.message = error.message
        result.error = ErrorFields(error)
        (result.log, result.metrics) = (log, metrics)
        (result.distributions, result.evidence) = (distributions, evidence)
        return result
    }
}

extension Metric {
    fileprivate var weight: Int { 208 + name.weight + unit.weight + better.weight + (ph?.weight ?? 0) }
}

extension Distribution {
    fileprivate var weight: Int { percentiles.reduce(112 + name.weight) { $0 + 48 + 24 * $1.count } }
}

extension Evidence {
    fileprivate var weight: Int { 208 + [asked, ph, source, reason].reduce(0) { $0 + ($1?.weight ?? 0) } }
}

extension LuaValue {
    /// Approximate size in bytes, in memory and in a message.
    var weight: Int {
        switch self {
        case .string(let text): text.weight
        case .bytes(let bytes): 48 + bytes.count
        case .list(let values): values.reduce(48) { $0 + $1.weight }
        case .table(let values): values.reduce(48) { $0 + $1.key.weight + $1.value.weight }
        default: 48
        }
    }
}

extension String {
    /// Approximate size in bytes; in JSON an unprintable character takes six.
    fileprivate var weight: Int {
        utf8.reduce(48) { sum, byte in
            switch byte {
            case ..<0x20: sum + 6
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): sum + 2
            default: sum + 1
            }
        }
    }

    /// Its beginning, where the text is too long to send.
    fileprivate var cut: String {
        let longest = 64 << 10
        return weight <= longest ? self : String(decoding: utf8.prefix(longest / 6), as: UTF8.self) + "..."
    }
}
