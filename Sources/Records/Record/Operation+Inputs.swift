import Kernel

/// A value that goes into a recorded call: an argument, or a member of a structure among the arguments.
struct OperationInput {
    let name: String
    let value: Operation.Value
    let format: Format
    /// The C type of a number; nil of what is none.
    let type: IntegerType?
    /// The members of the same structure, or the arguments, by name.
    let siblings: [String: Operation.Value]
    /// Whether the kernel reads what lies at an address, and neither writes nor keeps it.
    let isRead: Bool
    /// Whether the CPU reads the memory at an address, or a device does so without the kernel's pinning it first: such an
    /// address must be mapped, as no answer of the kernel's says that it is not.
    let isUnchecked: Bool

    /// The members of ioctls' and verbs' structures that are addresses in this process. Other pointers are addresses that
    /// devices use: iova, remote_addr.
    private static let addresses: Set<String> = [
        "user_va", "vaddr", "data_uptr", "data", "allowed_iovas", "token_uuid_ptr", "bitmap_data", "bitmap", "ranges",
        "addr", "address", "argument",
    ]

    /// Whether it is an address in this process.
    var isAddress: Bool { OperationInput.isAddress(name, format) && !isOfRegion }

    /// Whether it is an address within a memory region, which the device checks: that of a work request, but for inline data.
    private var isOfRegion: Bool { name == "addr" && !isUnchecked && (siblings["lkey"] ?? siblings["mw"]) != nil }

    static func isAddress(_ name: String, _ format: Format) -> Bool {
        if case .pointer = format { addresses.contains(name) } else { false }
    }

    /// Whether it is of memory that this program itself reads, writes or unmaps.
    var isAccess: Bool { isAddress && name == "address" }

    /// Whether whole pages of it are meant.
    var isRange: Bool { siblings["count"] == nil }

    /// How many bytes the call may touch from this address on; `number` gives a sibling's value, nil of none. A count that is
    /// not known is the largest.
    func extent(_ number: (Operation.Value) -> UInt64?) -> UInt64 {
        func sibling(_ name: String) -> UInt64 { siblings[name].map { number($0) ?? .max } ?? 0 }
        func product(_ one: UInt64, _ other: UInt64) -> UInt64 {
            let (product, isOver) = one.multipliedReportingOverflow(by: other)
            return isOver ? .max : product
        }
        if isRead { return 0 }
        switch name {
        case "addr", "user_va": return sibling("length")
        case "address": return siblings["count"] == nil ? sibling("length") : sibling("count")
        case "vaddr": return sibling("size")
        case "ranges": return product(sibling("num_ranges"), 16)
        case "bitmap_data": return sibling("bitmap_size")
        case "data_uptr":
            return sibling("data_len")
        // A bit for each page, in words of 64 bits.
        case "data", "bitmap": return sibling("length") / max(sibling("page_size"), 1) / 8 + 8
        case "allowed_iovas": return product(sibling("num_iovas"), 16)
        // An ioctl's structure that is not given by its members: as long as none is.
        default: return 1 << 30
        }
    }

    /// Why no record may say so; nil where it may. What depends on what is open and mapped is left to whoever makes the call.
    var misuse: String? {
        switch (format, value) {
        case (.handle(let kind), .symbol(let symbol, let offset)):
            let made = kind == "device" ? "ibdev" : kind
            return offset == 0 && Symbols.kind(of: symbol) == made ? nil : "\(symbol) is no \(kind)"
        case (.handle, .number(0, _)): return nil
        case (.handle(let kind), _): return "\(name) is no \(kind) that the record made"
        case (.descriptor, .symbol(let symbol, let offset)):
            return offset == 0 && Symbols.isDescriptor(symbol) ? nil : "\(symbol) is no descriptor"
        case (.descriptor, .number): return nil
        case (.descriptor, _): return "\(name) is no descriptor that the record made"
        case (.pointer, .symbol(let symbol, _)) where OperationInput.isAddress(name, format):
            return Symbols.kind(of: symbol) == "map" ? nil : "\(symbol) is no memory"
        case (.pointer, _): return nil
        case (_, .symbol(let symbol, _)) where Symbols.kind(of: symbol) == "map":
            return "\(name) is no address, and \(symbol) is one"
        default: return nil
        }
    }
}

extension Operation {
    /// Requests whose addresses the kernel copies from (drivers/iommu/iommufd, drivers/vfio/device_cdev.c).
    private static let reading: Set<String> = [
        "IOMMU_IOAS_ALLOW_IOVAS", "IOMMU_HWPT_ALLOC", "IOMMU_HWPT_INVALIDATE", "VFIO_DEVICE_BIND_IOMMUFD",
    ]

    /// Everything that goes in, structures and lists before their parts.
    func inputs(_ decoder: Decoder) -> [OperationInput] {
        let known = members(decoder)
        let isRead = request.map { Operation.reading.contains($0.name) } ?? false
        var inputs: [OperationInput] = []
        func add(
            _ name: String, _ value: Value, _ format: Format, _ type: IntegerType?, _ siblings: [String: Value],
            _ isUnchecked: Bool
        ) {
            inputs.append(
                OperationInput(
                    name: name, value: value, format: format, type: type, siblings: siblings, isRead: isRead,
                    isUnchecked: isUnchecked))
            switch value {
            case .list(let values):
                for value in values { add(name, value, format, type, siblings, isUnchecked) }
            case .structure(let members):
                let siblings = Dictionary(
                    members.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
                let isUnchecked = isUnchecked || Operation.isInline(siblings)
                for member in members {
                    var format = known[member.name]?.format ?? .decimal
                    if case .number(_, let own) = member.value { format = own }
                    add(member.name, member.value, format, known[member.name]?.type, siblings, isUnchecked)
                }
            default: break
            }
        }
        let siblings = Dictionary(
            zip(signature.parameters, arguments).map { ($0.name, $1) }, uniquingKeysWith: { first, _ in first })
        let isUnchecked = ["load", "store", "munmap"].contains(signature.name) || Operation.isOnDemand(siblings)
        for (index, (parameter, value)) in zip(signature.parameters, arguments).enumerated() where !parameter.isOutput {
            let isPointer = index == 2 && signature.name == "ioctl" && !takesNumber
            add(parameter.name, value, isPointer ? .pointer : parameter.format, parameter.type, siblings, isUnchecked)
        }
        return inputs
    }

    /// Whether the argument of an ioctl is a number; others are addresses, or nothing.
    private var takesNumber: Bool { if case .value = request?.argument { true } else { false } }

    private static func isInline(_ members: [String: Value]) -> Bool {
        guard let flags = members["send_flags"] else { return false }
        if case .number(let flags, _) = flags { return flags & 8 != 0 }
        return true
    }

    /// Whether memory is registered without being pinned. Where comp_mask has a dma-buf, no address counts.
    private static func isOnDemand(_ arguments: [String: Value]) -> Bool {
        guard arguments["addr"] != nil, let access = arguments["access"] else { return false }
        if case .number(let mask, _)? = arguments["comp_mask"], mask & MRInitMask.fd.rawValue != 0 { return false }
        if case .number(let access, _) = access { return access & UInt64(Access.onDemand.rawValue) != 0 }
        return true
    }

    /// The members of the structures, by name.
    private func members(_ decoder: Decoder) -> [String: Signature.Member] {
        guard let layout = layout(decoder) else { return signature.members }
        let fields = layout.fields + layout.trailing.flatMap(\.fields)
        return Dictionary(fields.map { ($0.name, .init($0)) }, uniquingKeysWith: { first, _ in first })
    }

    /// The layout of an ioctl's argument of which `count` bytes are there; nil of what is no structure.
    func layout(_ decoder: Decoder, count: Int = .max) -> Layout? {
        guard case .structure(let members)? = arguments.last else { return nil }
        switch request?.argument {
        case .structure(let layout): return layout
        case .feature:
            var feature = UInt32.max
            if case .number(let number, _)? = members.first(where: { $0.name == "feature" })?.value {
                feature = UInt32(truncatingIfNeeded: number)
            }
            return decoder.layout(ofFeature: feature, count)
        default: return nil
        }
    }
}
