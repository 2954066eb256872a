/// A function of the seam: a system call, a libibverbs function, or an access to mapped memory. Its Swift types are in
/// the protocol `SystemCalls` or in its ``Verb``; traces, records and exported C use this row.
public struct Signature: Sendable {
    /// One parameter.
    public struct Parameter: Sendable {
        /// The C name.
        public let name: String
        /// The format of a number; ignored for text and bytes.
        public let format: Format
        /// The C type of a number; nil of text, bytes and structures, and of an ioctl's argument.
        public let type: IntegerType?
        /// Whether the kernel fills it in: what a read brings.
        public let isOutput: Bool

        init(_ name: String, _ format: Format = .hexadecimal, type: IntegerType? = nil, isOutput: Bool = false) {
            (self.name, self.format, self.type, self.isOutput) = (name, format, type, isOutput)
        }

        /// An object.
        init(_ kind: ObjectKind) { self.init(kind.name, .handle(kind.name), type: .address) }
    }

    /// A member of a structure among arguments or outputs.
    public struct Member: Sendable {
        /// The C name.
        public let name: String
        /// How a number is written.
        public let format: Format
        /// The C type; nil of what only comes out.
        public let type: IntegerType?

        /// What only comes out.
        init(_ name: String, _ format: Format) { (self.name, self.format, type) = (name, format, nil) }

        /// A structure's.
        public init(_ field: Field) { (name, format, type) = (field.name, field.format, field.type) }

        /// A member of the structures in the list `list`, for where another structure has one of the same name and another type.
        init(_ field: Field, in list: String) {
            (name, format, type) = ("\(list).\(field.name)", field.format, field.type)
        }
    }

    /// The C name.
    public let name: String
    /// In C order; of structures only the relevant members.
    public let parameters: [Parameter]
    /// The format of a success.
    public let result: Format
    /// Further outputs of a success, by name.
    public let outputs: [Member]
    /// Members of structures by name, or by "list.name" for those in a list; empty of an ioctl, whose request knows.
    public let members: [String: Member]
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
        self.members = Dictionary(
            (members + outputs).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        namesParameters = true
    }

    /// A system call.
    fileprivate init(system name: String, _ parameters: [Parameter], result: Format) {
        self.name = name
        self.parameters = parameters
        self.result = result
        outputs = []
        members = [:]
        namesParameters = false
    }
}

/// The system calls.
extension Signature {
    private static func system(_ name: String, _ parameters: [Parameter], result: Format = .decimal) -> Signature {
        Signature(system: name, parameters, result: result)
    }

    private static func int(_ name: String, _ format: Format = .hexadecimal) -> Parameter {
        Parameter(name, format, type: IntegerType(Int32.self))
    }

    private static func off_t(_ name: String, _ format: Format = .hexadecimal) -> Parameter {
        Parameter(name, format, type: IntegerType(Int64.self))
    }

    private static func size_t(_ name: String, _ format: Format = .hexadecimal) -> Parameter {
        Parameter(name, format, type: IntegerType(UInt.self))
    }

    private static func unsigned(_ name: String, _ format: Format = .hexadecimal) -> Parameter {
        Parameter(name, format, type: IntegerType(UInt32.self))
    }

    private static let fd = int("fd", .descriptor)
    private static let path = Parameter("path")
    private static let input = Parameter("bytes")
    private static let output = Parameter("bytes", isOutput: true)
    private static let count = size_t("count", .decimal)
    private static let address = size_t("address", .pointer)

    static let open = system("open", [path, int("flags", Request.openFlags)], result: .descriptor)
    static let close = system("close", [fd])
    /// ioctl(2), whose argument its request decides.
    public static let ioctl = system("ioctl", [fd, size_t("request"), Parameter("argument")])
    static let read = system("read", [fd, output, count])
    static let write = system("write", [fd, input, count])
    static let pread = system("pread", [fd, output, count, off_t("offset")])
    static let pwrite = system("pwrite", [fd, input, count, off_t("offset")])
    static let lseek = system("lseek", [fd, off_t("offset", .decimal), int("whence", .decimal)])
    static let memfd = system("memfd_create", [Parameter("name"), unsigned("flags")], result: .descriptor)
    static let truncate = system("ftruncate", [fd, off_t("length")])
    static let fcntl = system("fcntl", [fd, int("command", .decimal), off_t("argument")])
    static let poll = system("poll", [fd, Parameter("events", type: IntegerType(Int16.self))])
    static let eventfd = system("eventfd", [unsigned("count", .decimal)], result: .descriptor)
    static let mmap = system(
        "mmap", [size_t("length"), int("protection"), int("flags"), fd, off_t("offset")], result: .pointer)
    static let munmap = system("munmap", [address, size_t("length")])
    static let readlink = system("readlink", [path])
    static let list = system("getdents", [path])
    static let fsync = system("fsync", [fd])
    static let mkdir = system("mkdir", [path, unsigned("mode")])
    static let rename = system("rename", [path, Parameter("to")])
    static let unlink = system("unlink", [path])
    static let sleep = system("nanosleep", [Parameter("nanoseconds", .decimal, type: IntegerType(UInt64.self))])
    /// No call at all: what this program read from mapped memory, and wrote there.
    static let load = system("load", [address, output, count])
    static let store = system("store", [address, input, count])

    /// Every function of the seam by name.
    public static let all: [String: Signature] = Dictionary(
        uniqueKeysWithValues: ([
            open, close, ioctl, read, write, pread, pwrite, lseek, memfd, truncate, fcntl, poll, eventfd, mmap, munmap,
            readlink, list, fsync, mkdir, rename, unlink, sleep, load, store,
        ] + Verbs.all.map(\.signature)).map { ($0.name, $0) })
}
