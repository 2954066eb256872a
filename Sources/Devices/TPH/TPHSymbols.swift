import Glibc
import Kernel

/// Functions of the running kernel that identify the feature and its revision. A function that is there is evidence; one
/// that is not may be inlined.
enum TPHSymbols {
    /// The function behind the feature, in every revision.
    static let feature = "vfio_pci_core_feature_dma_buf_tph"

    /// Functions and the revisions that have them.
    private static let marks: [(symbol: String, revisions: Set<String>)] = [
        ("pcie_tph_get_st_width", ["v3"]),
        ("pcie_tph_supported", ["v6"]),
        ("pcie_tph_completer_type", ["v7", "v8", "v9", "v10", "v11"]),
        ("dma_buf_get_tph", ["v7"]),
        ("dma_buf_get_pci_tph", ["v8", "v9", "v10", "v11"]),
    ]

    /// Revisions that cannot be told apart here, and what follows from that. The last one's name stands for all.
    private static let alike: [(revisions: [String], note: String)] = [
        (["v4", "v5"], "v4 or v5: a second SET on a dma-buf may answer EBUSY (v4)"),
        (["v8", "v9", "v10", "v11"], "v8 to v11"),
    ]

    /// Those of the functions above that the kernel has.
    static func read(_ kernel: any Kernel) throws(Errno) -> Set<String> {
        var table = KernelSymbols(wanted: [feature] + marks.map(\.symbol))
        try readChunks(of: "/proc/kallsyms", size: 1 << 16, kernel) { table.add($0) }
        return table.found
    }

    /// The revision with that structure that `symbols` leave, and why, for the report.
    static func revision(
        _ structure: TPHStructure, _ symbols: Set<String>, _ number: UInt32
    ) throws(TPHRefusal) -> (TPHABI, String) {
        let present = marks.filter { symbols.contains($0.symbol) }
        let left = TPHABI.all.filter { abi in
            abi.structure == structure && present.allSatisfy { $0.revisions.contains(abi.name) }
        }
        let evidence = present.isEmpty ? "" : " (kallsyms has \(present.map(\.symbol).joined(separator: ", ")))"
        guard let last = left.last else {
            throw TPHRefusal(
                "feature \(number) takes \(structure.description), as no revision with these does\(evidence)")
        }
        if left.count == 1 { return (last, last.name + evidence) }
        let names = left.map(\.name)
        if let group = alike.first(where: { $0.revisions == names }) { return (last, group.note + evidence) }
        throw TPHRefusal(
            "feature \(number) is DMA_BUF_TPH with \(structure.description), but nothing in kallsyms tells which of "
                + names.joined(separator: ", ") + evidence)
    }
}

/// Looks for names in the text of /proc/kallsyms, which is too long to keep: "address type name [module]" a line.
struct KernelSymbols {
    private let wanted: [[UInt8]]
    private(set) var found: Set<String> = []
    /// The line that the last chunk ended in.
    private var rest: [UInt8] = []

    init(wanted: [String]) { self.wanted = wanted.map { Array($0.utf8) } }

    /// The next chunk of the text, cut anywhere.
    mutating func add(_ chunk: UnsafeRawBufferPointer) {
        var tail = chunk
        while let end = tail.index(of: "\n") {
            let head = UnsafeRawBufferPointer(rebasing: tail[..<end])
            if rest.isEmpty {
                line(head)
            } else {
                let whole = rest + head
                rest = []
                whole.withUnsafeBytes { line($0) }
            }
            tail = UnsafeRawBufferPointer(rebasing: tail[(end + 1)...])
        }
        rest += tail
    }

    private mutating func line(_ text: UnsafeRawBufferPointer) {
        guard let type = text.index(of: " ") else { return }
        let afterAddress = UnsafeRawBufferPointer(rebasing: text[(type + 1)...])
        guard let space = afterAddress.index(of: " ") else { return }
        let name = UnsafeRawBufferPointer(rebasing: afterAddress[(space + 1)...])
        for symbol in wanted where name.starts(with: symbol) {
            // The module follows a tab; the compiler appends ".part.0" and the like to what it split.
            let next = name.count > symbol.count ? name[symbol.count] : UInt8(ascii: "\t")
            if next == UInt8(ascii: "\t") || next == UInt8(ascii: ".") {
                found.insert(String(decoding: symbol, as: UTF8.self))
            }
        }
    }
}

extension UnsafeRawBufferPointer {
    // memchr(3) and memcmp(3): the text is long, and a loop in a debug build slow.

    fileprivate func index(of character: Unicode.Scalar) -> Int? {
        guard let base = baseAddress, let found = memchr(base, Int32(character.value), count) else { return nil }
        return UnsafeRawPointer(found) - base
    }

    fileprivate func starts(with bytes: [UInt8]) -> Bool {
        guard let base = baseAddress, count >= bytes.count else { return false }
        return memcmp(base, bytes, bytes.count) == 0
    }
}
