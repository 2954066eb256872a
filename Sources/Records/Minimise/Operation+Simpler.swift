import Kernel

/// Requests with fewer or simpler arguments.
extension Operation {
    /// The same operation with one value made simpler, the simplest first.
    var simplerOnes: [Operation] {
        var result: [Operation] = []
        for (index, parameter) in signature.parameters.enumerated() where !parameter.isOutput {
            if signature.name == "ioctl", index == 1 { continue }
            // Flags of a new descriptor: another access, or one that a child inherits, is no simpler one.
            if parameter.name == "flags", Operation.opening.contains(signature.name) { continue }
            let fewer = Operation.fewer(arguments[index], request?.argument)
            for value in fewer + Operation.simpler(arguments[index]) {
                var operation = self
                operation.arguments[index] = value
                result.append(operation)
            }
        }
        return result
    }

    /// With fewer elements in its lists: a half of them, or one; what counts them, and the size, go along.
    private static func fewer(_ value: Value, _ argument: Request.Argument?) -> [Value] {
        switch value {
        case .list(let values):
            return parts(values).map { .list($0) }
                + values.indices.flatMap { index in
                    fewer(values[index], nil).map { value in
                        var changed = values
                        changed[index] = value
                        return .list(changed)
                    }
                }
        case .structure(let members):
            let layout = layout(argument, members)
            return members.indices.flatMap { index -> [Value] in
                let name = members[index].name
                guard case .list(let elements) = members[index].value,
                    let trailing = layout?.trailing.first(where: { $0.name == name })
                else {
                    return fewer(members[index].value, nil).map { value in
                        var changed = members
                        changed[index].value = value
                        return .structure(changed)
                    }
                }
                return parts(elements).map { part in
                    var changed = members
                    changed[index].value = .list(part)
                    let gone = UInt64(elements.count - part.count)
                    reduce(trailing.countField, by: gone, &changed)
                    reduce("argsz", by: gone * UInt64(trailing.elementSize), &changed)
                    return .structure(changed)
                }
            }
        default: return []
        }
    }

    /// A list of one element is left alone: with an empty list it would be a different request.
    private static func parts(_ values: [Value]) -> [[Value]] {
        guard values.count > 1 else { return [] }
        let middle = values.count / 2
        let halves = values.count > 2 ? [Array(values[middle...]), Array(values[..<middle])] : []
        // Of very many, halves do.
        guard values.count <= 64 else { return halves }
        return halves
            + values.indices.map { index in
                var rest = values
                rest.remove(at: index)
                return rest
            }
    }

    private static func layout(_ argument: Request.Argument?, _ members: [Member]) -> Layout? {
        switch argument {
        case .structure(let layout)?: return layout
        case .feature?:
            guard case .number(let number, _)? = members.first(where: { $0.name == "feature" })?.value else {
                return nil
            }
            return Decoder().layout(ofFeature: UInt32(truncatingIfNeeded: number), .max)
        default: return nil
        }
    }

    private static let opening: Set<String> = ["open", "memfd_create", "eventfd"]

    private static func reduce(_ name: String, by less: UInt64, _ members: inout [Member]) {
        guard let index = members.firstIndex(where: { $0.name == name }),
            case .number(let number, let format) = members[index].value, number >= less
        else { return }
        members[index].value = .number(number - less, format)
    }

    private static func simpler(_ value: Value) -> [Value] {
        switch value {
        case .number(let number, let format): return numbers(number, format).map { .number($0, format) }
        case .symbol(let name, let offset):
            // IOVA 0 in place of one the kernel chose, and no offset.
            return (name.hasPrefix("iova") ? [.number(0, .iova)] : []) + (offset > 0 ? [.symbol(name, 0)] : [])
        case .bytes(let bytes) where bytes.contains { $0 != 0 }:
            return [.bytes([UInt8](repeating: 0, count: bytes.count))]
        case .structure(let members):
            return members.indices.flatMap { index in
                // A structure's size is no choice, nor are the flags of a new descriptor.
                ["argsz", "size", "bytes", "feature", "operation", "open_flags"].contains(members[index].name)
                    ? []
                    : simpler(members[index].value).map { value in
                        var changed = members
                        changed[index].value = value
                        return .structure(changed)
                    }
            }
        case .list(let values):
            return values.indices.flatMap { index in
                simpler(values[index]).map { value in
                    var changed = values
                    changed[index] = value
                    return .list(changed)
                }
            }
        default: return []
        }
    }

    private static func numbers(_ number: UInt64, _ format: Format) -> [UInt64] {
        guard number != 0 else { return [] }
        switch format {
        case .descriptor, .handle, .identity, .key, .queueNumber, .names: return []
        case .flags:
            return (0..<64).filter { number >> $0 & 1 == 1 }.map { number & ~(1 << UInt64($0)) }
        default:
            // Whole pages stay whole pages.
            let steps: [UInt64] = [0, 1, 0x1000, number / 2]
            return steps.filter { $0 < number }
        }
    }
}
