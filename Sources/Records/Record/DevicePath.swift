import Glibc
import Kernel

/// Which files a record's calls may open where they are made again, here or by the C made of it: the devices that scenarios
/// use. A stranger's record must not write, make or empty any other file.
enum DevicePath {
    private static let folders = ["/dev/vfio/", "/dev/dma_heap/"]
    private static let files = ["/dev/iommu", "/dev/udmabuf", "/dev/edu-importer", "/dev/null", "/dev/zero"]
    private static let making = UInt64(O_CREAT | O_TRUNC | O_APPEND)

    /// `flags` are those of open(2).
    static func mayOpen(_ path: String, flags: UInt64) -> Bool {
        !path.contains("/../") && flags & making == 0
            && (files.contains(path) || folders.contains { path.hasPrefix($0) })
    }

    /// Whether it is of a VFIO device, or of a group: one chooses it by a PCI address too.
    static func isOfDevice(_ path: String) -> Bool {
        if path.hasPrefix("/dev/vfio/devices/") { return true }
        let group = ["/dev/vfio/noiommu-", "/dev/vfio/"].first(where: path.hasPrefix).map { path.dropFirst($0.count) }
        return group.map { !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } } ?? false
    }

    /// Whether a text is a PCI address, "0000:01:00.0".
    static func isAddress(_ text: String) -> Bool {
        let shape = text.utf8.map { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"): UInt8(ascii: "h")
            default: byte
            }
        }
        return shape.elementsEqual("hhhh:hh:hh.h".utf8)
    }
}

extension Record {
    /// Paths that its calls name.
    public var paths: Set<String> {
        Set(
            operations.compactMap { _, operation in
                guard operation.signature.parameters.first?.name == "path",
                    case .text(let path)? = operation.arguments.first
                else { return nil }
                return path
            })
    }
}

extension Operation {
    /// The file that the call opens, with its flags; nil of any other call.
    var opened: (path: String, flags: UInt64)? {
        guard signature.name == "open", case .text(let path)? = arguments.first else { return nil }
        guard arguments.count > 1, case .number(let flags, _) = arguments[1] else { return (path, .max) }
        return (path, flags)
    }

    /// Bytes of data that go in or came back.
    var dataSize: Int {
        func size(_ value: Value) -> Int {
            switch value {
            case .bytes(let bytes): bytes.count
            case .structure(let members): members.reduce(0) { $0 + size($1.value) }
            case .list(let values): values.reduce(0) { $0 + size($1) }
            case .pointer(let bytes, _): bytes.count
            default: 0
            }
        }
        return arguments.reduce(0) { $0 + size($1) }
    }
}
