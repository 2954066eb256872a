/// The function's capabilities: what QUERY_HCA_CAP answers, and SET_HCA_CAP changes.
struct Capabilities {
    /// MLX5_CAP_* of include/linux/mlx5/device.h.
    enum Kind: Int, CaseIterable {
        case general = 0
        case onDemandPaging = 2
        case atomic = 3
        case debug = 0xd
        case deviceMemory = 0xf
    }

    /// Bytes of one kind.
    static let size = 4096

    private let maximum: [[UInt8]]
    private var current: [[UInt8]]

    /// The capabilities of a function with some options.
    init(_ options: HCAOptions) {
        maximum = Kind.allCases.map { kind in
            var bytes = [UInt8](repeating: 0, count: Self.size)
            for (field, value) in Self.rows(kind, options) { bytes[field] = value }
            return bytes
        }
        current = maximum
        // Page faults by memory key, and not by work request, are the driver's to turn on.
        current[Self.row(of: .onDemandPaging)][ODP.memoryScheme] = 0
    }

    /// The maximum or the current values of a kind; zeros for a kind that the function lacks.
    func bytes(_ kind: Int, isCurrent: Bool) -> [UInt8]? {
        Kind(rawValue: kind).map { (isCurrent ? current : maximum)[Self.row(of: $0)] }
    }

    /// Stores what a driver has chosen of a kind. Of atomic operations only the byte order of responses can be
    /// chosen.
    mutating func set(_ kind: Kind, _ bytes: UnsafeRawBufferPointer) {
        if kind == .atomic {
            current[Self.row(of: kind)][Atomic.hostOrder] = bytes[Atomic.hostOrder]
            return
        }
        var chosen = Array(bytes.prefix(Self.size))
        chosen.append(contentsOf: repeatElement(0, count: Self.size - chosen.count))
        current[Self.row(of: kind)] = chosen
    }

    /// The maximum of a capability. The device's own limits are the maxima, whatever the driver has chosen.
    subscript(field: Field) -> Int { maximum[Self.row(of: .general)][int: field] }

    /// The most objects of a kind, from a capability that is the logarithm of it. Numbers of objects have 24 bits.
    func count(_ field: Field) -> Int { 1 << min(self[field], 22) }

    private static func row(of kind: Kind) -> Int { Kind.allCases.firstIndex(of: kind) ?? 0 }

    /// The header's name of a capability.
    static func memberName(_ field: Field) -> String {
        String("\(field.name)".split(separator: ".").last ?? "")
    }

    private static func rows(_ kind: Kind, _ options: HCAOptions) -> [(Field, UInt64)] {
        switch kind {
        case .general:
            general.map { field, value in
                let name = memberName(field)
                return (field, options.capabilities[name] ?? options.chosen(name) ?? value)
            }
        case .onDemandPaging: options.hasOnDemandPaging ? ODP.rows : []
        case .atomic: Atomic.rows
        case .debug: Debug.rows
        case .deviceMemory: MEMIC.rows
        }
    }
}

extension HCAOptions {
    /// The value that an option gives a capability; nil without one.
    fileprivate func chosen(_ name: String) -> UInt64? {
        switch name {
        case "pg": hasOnDemandPaging ? 1 : 0
        case "mkey_pcie_tph": tph == .none ? 0 : 1
        default: nil
        }
    }
}

/// Operations that may meet a page fault, by transport; struct mlx5_ifc_odp_cap_bits.
private enum ODP {
    static let memoryScheme = Field("odp_cap.mem_page_fault", bit: 0x600, width: 1)
    static let prefetch = Field("odp_cap.memory_page_fault_scheme_cap.page_prefetch", bit: 0x245, width: 1)
    /// Send, receive, write, read, atomic and shared receive. Of a datagram only the send request waits for pages; a
    /// missing page of a receive request is an error.
    static let all: UInt64 = 0b111111 << 26
    static let send: UInt64 = 1 << 31
    static let rows: [(Field, UInt64)] = [
        (memoryScheme, 1), (prefetch, 1),
        (Field("odp_cap.transport_page_fault_scheme_cap.rc_odp_caps", bit: 0x80, width: 32), all),
        (Field("odp_cap.memory_page_fault_scheme_cap.rc_odp_caps", bit: 0x280, width: 32), all),
        (Field("odp_cap.memory_page_fault_scheme_cap.ud_odp_caps", bit: 0x2c0, width: 32), send),
        (Field("odp_cap.memory_page_fault_scheme_cap.xrc_odp_caps", bit: 0x2e0, width: 32), all),
    ]
}

/// Compare and swap, fetch and add, of eight bytes; struct mlx5_ifc_atomic_caps_bits.
private enum Atomic {
    static let hostOrder = Field("atomic_caps.atomic_req_8B_endianness_mode", bit: 0x40, width: 2)
    static let rows: [(Field, UInt64)] = [
        (Field("atomic_caps.atomic_operations", bit: 0x90, width: 16), 0b11),
        (Field("atomic_caps.atomic_size_qp", bit: 0xb0, width: 16), 8),
        (Field("atomic_caps.supported_atomic_req_8B_endianness_mode_1", bit: 0x46, width: 1), 1),
    ]
}

private enum Debug {
    static let rows: [(Field, UInt64)] = [(Field("debug_cap.resource_dump", bit: 0x9, width: 1), 1)]
}

/// Memory of the device's own that can be allocated; struct mlx5_ifc_device_mem_cap_bits.
private enum MEMIC {
    static let rows: [(Field, UInt64)] = [
        (Field("device_mem_cap.memic", bit: 0x0, width: 1), 1),
        (Field("device_mem_cap.log_min_memic_alloc_size", bit: 0x2b, width: 5), 6),
        (
            Field("device_mem_cap.log_max_memic_addr_alignment", bit: 0x38, width: 8),
            UInt64(DeviceMemory.logMostAlignment)
        ),
        (Field("device_mem_cap.memic_bar_start_addr", bit: 0x40, width: 64), UInt64(DeviceMemory.start)),
        (Field("device_mem_cap.memic_bar_size", bit: 0x80, width: 32), UInt64(DeviceMemory.size)),
        (Field("device_mem_cap.max_memic_size", bit: 0xa0, width: 32), UInt64(DeviceMemory.size)),
    ]
}
