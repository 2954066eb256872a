import CKernel
import Kernel

/// The processing hint in an mlx5 memory key context. Source: include/linux/mlx5/mlx5_ifc.h, mlx5_ifc_mkc_bits: bit
/// 0x1e5 pcie_tph_en, 0x1e6 pcie_tph_ph (2), 0x1e8 pcie_tph_steering_tag_index (8); bits count from the first byte's
/// most significant one.
public struct MkeyTPH: Sendable, Equatable {
    /// Whether the NIC sets a hint at all.
    public let enabled: Bool
    /// The processing hint, 0 to 3.
    public let ph: UInt8
    /// The steering tag's index: the tag itself in direct mode, an entry of the NIC's table otherwise.
    public let index: UInt8

    init(enabled: Bool, ph: UInt8, index: UInt16) {
        self.enabled = enabled
        self.ph = ph
        self.index = UInt8(truncatingIfNeeded: index)
    }

    /// Decodes 64 bytes.
    public init?(_ context: [UInt8]) {
        guard context.count >= 0x1f0 / 8 else { return nil }
        let byte = context[0x1e0 / 8]
        enabled = byte >> 2 & 1 == 1
        ph = byte & 3
        index = context[0x1e8 / 8]
    }
}

extension TPHHint {
    /// "st=0x42 st_ext=0x1234 ph=target"
    public var text: String {
        (st.map { "st=0x\(hex($0.rawValue)) " } ?? "") + (stExt.map { "st_ext=0x\(hex($0.rawValue)) " } ?? "")
            + "ph=\(ph.name)"
    }

    private func has(_ tag: UInt16) -> Bool { st.map { UInt16($0.rawValue) } == tag || stExt?.rawValue == tag }

    /// In what the hint of a memory key is another one than this; nil where it is this one. `function` reads the
    /// NIC's configuration space, which says what an index stands for.
    fileprivate func objection(_ key: MkeyTPH, function: () -> PCICapabilities?) -> String? {
        let asked = "asked for \(text), and the memory key holds "
        guard key.enabled else { return asked + "no hint" }
        guard key.ph == ph.rawValue else {
            return asked + "ph=\(ProcessingHint(rawValue: key.ph)?.name ?? "?"), st=0x\(hex(key.index))"
        }
        if has(UInt16(key.index)) { return nil }
        guard let function = function(), function.isWhole, let requester = function.requester else {
            return asked + "0x\(hex(key.index)): the tag itself in direct mode, or an entry of the NIC's steering "
                + "table, which its configuration space would tell that cannot be read"
        }
        if requester.entries > 0 {
            let tag = function.steeringTag(at: Int(key.index))
            if let tag, has(tag) { return nil }
            return asked + "entry 0x\(hex(key.index)) of the NIC's steering table, "
                + (tag.map { "which is 0x\(hex($0))" } ?? "which cannot be read")
        }
        guard let stExt, stExt.rawValue > 0xff, stExt.rawValue & 0xff == UInt16(key.index) else {
            return asked + "st=0x\(hex(key.index))"
        }
        return asked + "st=0x\(hex(key.index)): mlx5 keeps 8 bits of a tag in direct mode; use a steering table, or a "
            + "tag up to 0xff"
    }
}

/// A tag has two digits at least.
private func hex(_ number: some BinaryInteger) -> String { hexDigits(number, width: 2) }

extension MemoryRegion {
    /// Why a hint that was found is not the one that was asked for; nil where it is, or where nothing was asked.
    public func objection(to hint: MkeyTPH) -> String? {
        asked?.objection(hint) {
            guard let nic = mr.pointee.context?.pointee.deviceName else { return nil }
            return (try? kernel.bytes(of: "/sys/class/infiniband/\(nic)/device/config")).map { PCICapabilities($0) }
        }
    }
}
