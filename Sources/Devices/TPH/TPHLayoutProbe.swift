import CKernel
import Glibc
import Kernel

/// Finds the structure that a kernel takes by SETs of descriptor -1. Every revision looks the descriptor up after it has
/// checked size and values, so EBADF means "these would do", EINVAL that they would not. The kernel checks only that
/// the data is not too short, so sizes are tried upwards and the first EBADF is the size.
struct TPHLayoutProbe {
    let number: UInt32
    let identification: TPHIdentification
    private var seen: [String] = []

    init(number: UInt32, _ identification: TPHIdentification) {
        self.number = number
        self.identification = identification
    }

    /// The structure that the kernel takes.
    mutating func run() throws(TPHRefusal) -> TPHStructure {
        if try fits(8) { return .v2 }
        if try fits(12) { return try layoutOfTwelve() }
        if try fits(16) { return .v3 }
        throw TPHRefusal("feature \(number) wants a larger structure than any posted revision: \(steps)")
    }

    /// What was sent so far and answered.
    var steps: String { "SET of descriptor -1: " + seen.joined(separator: ", ") }

    private mutating func fits(_ size: Int) throws(TPHRefusal) -> Bool {
        let answer = set(size, flags: TPHStructure.stFlag)
        switch answer {
        case -Int(EBADF): return true
        case -Int(EINVAL): return false
        // Only a kernel that takes 12 bytes gets as far as this with 12.
        case -Int(EOPNOTSUPP) where size == 12:
            let late = TPHABI.all.filter { [.completerAfterValues, .unknown].contains($0.hardwareCheck) }
            throw TPHRefusal(
                "feature \(number) is DMA_BUF_TPH of \(late.map(\.name).joined(separator: " or ")), but "
                    + "\(identification.object) is no TPH completer (DevCap2 bits 13:12): \(steps)", advised: false)
        default:
            throw TPHRefusal("feature \(number) does not answer as DMA_BUF_TPH does: \(steps)")
        }
    }

    /// What each layout of 12 bytes says to values that are valid in one only.
    private static let discriminators: [(flags: UInt32, byte: Int?, answers: [TPHStructure: Int32])] = [
        (1, 11, [.v4: EBADF, .v6: EINVAL]),  // 4: A's tag, high byte; B's hint, above 3
        (1, 9, [.v4: EINVAL, .v6: EBADF]),  // 4: A's hint, above 3; B's tag, high byte
        (0, nil, [.v4: EINVAL, .v6: EBADF]),  // B clears
        (4, nil, [.v4: EINVAL, .v6: EINVAL]),  // no such flag
    ]

    private mutating func layoutOfTwelve() throws(TPHRefusal) -> TPHStructure {
        var layouts = [TPHStructure.v4, .v6]
        for step in Self.discriminators {
            let answer = set(12, flags: step.flags, byte: step.byte)
            layouts.removeAll { layout in step.answers[layout].map { -Int($0) } != answer }
            if layouts.isEmpty { throw TPHRefusal("feature \(number) takes 12 bytes, but no known layout: \(steps)") }
        }
        return layouts[0]
    }

    /// Descriptor -1 at 0 and the flags at 4, as all revisions that have them; `byte` of the rest is 4.
    private mutating func set(_ size: Int, flags: UInt32, byte: Int? = nil) -> Int {
        var data = withUnsafeBytes(of: (Int32(-1), flags)) { Array($0) }
        data += [UInt8](repeating: 0, count: size - data.count)
        if let byte { data[byte] = 4 }
        var request = TPHRequest(number, VFIO_DEVICE_FEATURE_SET, data)
        let result = request.send(to: identification.device, identification.kernel)
        let values = "\(size) bytes flags \(flags)" + (byte.map { " byte \($0) 4" } ?? "")
        seen.append("\(values) \(Errno(result: result)?.name ?? String(result))")
        return result
    }
}
