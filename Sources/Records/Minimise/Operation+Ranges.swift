import Kernel

/// Bytes of memory, of a file, or of a device's address space that a call names.
struct NamedRange {
    /// What the bytes are of: a mapping's name, a class of addresses, or a file.
    let space: String
    let start: UInt64
    /// Of none the first byte counts, so that it stays where it is.
    let length: UInt64

    func meets(_ other: NamedRange) -> Bool {
        guard space == other.space else { return false }
        return start <= other.start ? other.start - start < max(length, 1) : start - other.start < max(other.length, 1)
    }
}

extension Record {
    /// Whether `new` names bytes that another call names too, or some of its own twice, and `old` at its index did not. Mappings
    /// of separate calls that meet are refused for that reason alone.
    func meets(_ new: Operation, insteadOf old: Operation, at index: Int) -> Bool {
        let ranges = new.ranges, before = old.ranges
        if NamedRange.meetings(ranges) > NamedRange.meetings(before) { return true }
        return operations.contains { other, operation in
            other != index
                && operation.ranges.contains { range in
                    ranges.contains(where: range.meets) && !before.contains(where: range.meets)
                }
        }
    }
}

extension NamedRange {
    /// How many of them begin within another one.
    fileprivate static func meetings(_ ranges: [NamedRange]) -> Int {
        Dictionary(grouping: ranges, by: \.space).values.reduce(0) { sum, ranges in
            var last: NamedRange?
            return sum
                + ranges.sorted { $0.start < $1.start }.count { range in
                    defer { if range.reach >= last?.reach ?? 0 { last = range } }
                    return last?.meets(range) ?? false
                }
        }
    }

    /// The first byte behind it.
    private var reach: UInt64 {
        let (end, isOver) = start.addingReportingOverflow(max(length, 1))
        return isOver ? .max : end
    }

    /// Members that are places, by the class of their numbers.
    fileprivate static let classes = [
        "iova": "iova", "dst_iova": "iova", "src_iova": "iova",
        "user_va": "memory", "vaddr": "memory", "addr": "memory", "address": "memory", "remote_addr": "memory",
        "offset": "file", "start": "file",
    ]
    fileprivate static let lengths = ["length", "size", "count"]
}

extension Operation {
    /// What its arguments name.
    var ranges: [NamedRange] {
        var found: [NamedRange] = []
        func visit(_ value: Value, _ file: String) {
            switch value {
            case .structure(let members): add(members, file)
            case .list(let values): for value in values { visit(value, file) }
            default: break
            }
        }
        func add(_ members: [Member], _ outer: String) {
            func number(_ name: String) -> UInt64? {
                if case .number(let number, _)? = members.first(where: { $0.name == name })?.value {
                    number
                } else {
                    nil
                }
            }
            var file = outer
            if case .symbol(let name, _)? = members.first(where: { $0.name == "fd" })?.value { file = name }
            if let region = number("region_index") { file += " \(region)" }
            let length = NamedRange.lengths.lazy.compactMap(number).first ?? 1
            for member in members {
                visit(member.value, file)
                guard let kind = NamedRange.classes[member.name] else { continue }
                // Where the kernel chose the place, what went in is none.
                var place = member.value
                if let chosen = outputs.first(where: { $0.name == member.name })?.value, case .symbol = chosen {
                    place = chosen
                }
                switch place {
                case .symbol(let name, let offset): found.append(.init(space: name, start: offset, length: length))
                // No memory lies at 0.
                case .number(let start, _) where kind != "memory" || start > 0:
                    let space = kind == "file" ? "file \(file)" : kind
                    found.append(.init(space: space, start: start, length: length))
                default: break
                }
            }
        }
        var file = ""
        if case .symbol(let name, _)? = arguments.first { file = name }
        add(zip(signature.parameters, arguments).filter { !$0.0.isOutput }.map { .init($0.name, $1) }, file)
        return found
    }
}
