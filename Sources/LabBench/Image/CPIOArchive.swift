/// An archive in cpio's "new ASCII" form, which the kernel unpacks into its first file system.
/// Source: Documentation/driver-api/early-userspace/buffer-format.rst.
public struct CPIOArchive: Sendable {
    /// Its bytes; complete once `finish` was called.
    public private(set) var bytes: [UInt8] = []
    private var entries: Set<String> = []
    private var number: UInt32 = 1

    /// An archive with a console and nothing else.
    public init() {
        // The kernel opens /dev/console for init before any file system is mounted.
        folder("/dev")
        add("dev/console", mode: 0o20600, device: (5, 1), [])
    }

    /// Whether there is an entry of that path.
    public func has(_ path: String) -> Bool { entries.contains(CPIOArchive.name(path)) }

    /// Adds a folder, and its missing parents.
    public mutating func folder(_ path: String) {
        var made = ""
        for part in path.split(separator: "/") {
            made += (made.isEmpty ? "" : "/") + part
            if !entries.contains(made) { add(made, mode: 0o40755, device: (0, 0), []) }
        }
    }

    /// Adds a file at an absolute path, with its folders. An existing path stays unchanged.
    public mutating func file(_ path: String, _ contents: some Collection<UInt8>, isExecutable: Bool = false) {
        let name = CPIOArchive.name(path)
        guard !entries.contains(name) else { return }
        if let slash = name.lastIndex(of: "/") { folder(String(name[..<slash])) }
        add(name, mode: isExecutable ? 0o100755 : 0o100644, device: (0, 0), contents)
    }

    /// Adds the trailer.
    public mutating func finish() { add("TRAILER!!!", mode: 0, device: (0, 0), []) }

    private static func name(_ path: String) -> String { path.split(separator: "/").joined(separator: "/") }

    private mutating func add(
        _ name: String, mode: UInt32, device: (UInt32, UInt32), _ contents: some Collection<UInt8>
    ) {
        entries.insert(name)
        number += 1
        let fields = [
            number, mode, 0, 0, 1, 0, UInt32(contents.count), 0, 0, device.0, device.1, UInt32(name.utf8.count + 1), 0,
        ]
        bytes += Array("070701".utf8)
        for field in fields {
            let digits = String(field, radix: 16)
            bytes += repeatElement(0x30, count: 8 - digits.utf8.count)
            bytes += digits.utf8
        }
        bytes += name.utf8
        bytes.append(0)
        pad()
        bytes += contents
        pad()
    }

    private mutating func pad() { bytes += repeatElement(0, count: -bytes.count & 3) }
}
