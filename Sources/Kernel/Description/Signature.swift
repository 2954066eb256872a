/// One function of the seam: a system call, a libibverbs function, or an access to memory that is mapped. The protocol
/// `SystemCalls` or its ``Verb`` has its Swift types; this row is what traces, records and exported C know of it.
public struct Signature: Sendable {
    /// One parameter.
    public struct Parameter: Sendable {
        /// The C name.
        public let name: String
        /// How a number is written; of text and bytes, no matter.
        public let format: Format
        /// Whether the kernel fills it in: what a read brings.
        public let isOutput: Bool

        init(name: String, format: Format, isOutput: Bool = false) {
            (self.name, self.format, self.isOutput) = (name, format, isOutput)
        }

        /// An object.
        init(_ kind: ObjectKind) { self.init(name: kind.name, format: .handle(kind.name)) }
    }

    /// A member of a structure among arguments or outputs, and how its number is written.
    public typealias Member = (name: String, format: Format)

    /// The C name.
    public let name: String
    /// In C order, of structures the members that matter.
    public let parameters: [Parameter]
    /// How a success is written.
    public let result: Format
    /// What else a success gives, by name.
    public let outputs: [Member]
    /// How members of structures are written; empty of an ioctl, whose request knows.
    public let members: [String: Format]
    /// Whether traces write "name=" before each argument: of what has no manual page that everyone knows.
    public let namesParameters: Bool

    /// Whether it posts work, which a device may finish before the call returns.
    var isPost: Bool { name.hasPrefix("ibv_post_") }

    /// A verb.
    init(_ name: String, _ parameters: [Parameter], result: Format, outputs: [Member], members: [Member]) {
        self.name = name
        self.parameters = parameters
        self.result = result
        self.outputs = outputs
        self.members = Dictionary(members + outputs, uniquingKeysWith: { first, _ in first })
        namesParameters = true
    }

    /// A system call.
    fileprivate init(
        system name: String, _ parameters: [(name: String, format: Format)], result: Format, output: String?
    ) {
        self.name = name
        self.parameters = parameters.map { Parameter(name: $0.name, format: $0.format, isOutput: $0.name == output) }
        self.result = result
        outputs = []
        members = [:]
        namesParameters = false
    }
}

/// The system calls.
extension Signature {
    private static func system(
        _ name: String, _ parameters: [(name: String, format: Format)], result: Format = .decimal,
        output: String? = nil
    ) -> Signature {
        Signature(system: name, parameters, result: result, output: output)
    }

    private static let fd: (name: String, format: Format) = ("fd", .descriptor)
    private static let offset: (name: String, format: Format) = ("offset", .hexadecimal)
    private static let bytes: (name: String, format: Format) = ("bytes", .hexadecimal)
    private static let count: (name: String, format: Format) = ("count", .decimal)
    private static let address: (name: String, format: Format) = ("address", .pointer)

    static let open = system(
        "open", [("path", .hexadecimal), ("flags", Request.openFlags)], result: .descriptor)
    static let close = system("close", [fd])
    /// ioctl(2), whose argument its request decides.
    public static let ioctl = system(
        "ioctl", [fd, ("request", .hexadecimal), ("argument", .hexadecimal)], result: .decimal)
    static let read = system("read", [fd, bytes, count], output: "bytes")
    static let write = system("write", [fd, bytes, count])
    static let pread = system("pread", [fd, bytes, count, offset], output: "bytes")
    static let pwrite = system("pwrite", [fd, bytes, count, offset])
    static let lseek = system("lseek", [fd, ("offset", .decimal), ("whence", .decimal)])
    static let memfd = system("memfd_create", [("name", .hexadecimal), ("flags", .hexadecimal)], result: .descriptor)
    static let truncate = system("ftruncate", [fd, ("length", .hexadecimal)])
    static let fcntl = system("fcntl", [fd, ("command", .decimal), ("argument", .hexadecimal)])
    static let poll = system("poll", [fd, ("events", .hexadecimal)])
    static let eventfd = system("eventfd", [count], result: .descriptor)
    static let mmap = system(
        "mmap",
        [
            ("length", .hexadecimal), ("protection", .hexadecimal), ("flags", .hexadecimal), fd, offset,
        ], result: .pointer)
    static let munmap = system("munmap", [address, ("length", .hexadecimal)])
    static let readlink = system("readlink", [("path", .hexadecimal)])
    static let list = system("getdents", [("path", .hexadecimal)])
    static let fsync = system("fsync", [fd])
    static let mkdir = system("mkdir", [("path", .hexadecimal), ("mode", .hexadecimal)])
    static let rename = system("rename", [("path", .hexadecimal), ("to", .hexadecimal)])
    static let unlink = system("unlink", [("path", .hexadecimal)])
    static let sleep = system("nanosleep", [("nanoseconds", .decimal)])
    /// No call at all: what this program read from mapped memory, and wrote there.
    static let load = system("load", [address, bytes, count], output: "bytes")
    static let store = system("store", [address, bytes, count])

    /// Every function of the seam by name.
    public static let all: [String: Signature] = Dictionary(
        uniqueKeysWithValues: ([
            open, close, ioctl, read, write, pread, pwrite, lseek, memfd, truncate, fcntl, poll, eventfd, mmap, munmap,
            readlink, list, fsync, mkdir, rename, unlink, sleep, load, store,
        ] + Verbs.all.map(\.signature)).map { ($0.name, $0) })
}
