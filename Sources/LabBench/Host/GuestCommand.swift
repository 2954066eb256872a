/// What is run in a guest, and what it is given of this machine for that.
public struct GuestCommand: Sendable {
    /// The program, an absolute path in the guest, and its arguments.
    public var words: [String]
    /// Variables beside those that every program of the image needs, "NAME=value" each.
    public var environment: [String] = []
    /// The folder in which it runs; made where the guest has none.
    public var directory = "/root"
    /// Seconds that it has. The guest has ``LabBench/setup`` more, to load modules, to bind devices and to end.
    public var time: Double
    /// How many files it may write that come back: see ``GuestJob/result(_:)``.
    public var results = 0
    /// Folders of this machine that are the stdlib.
    public var stdlib: [String] = []
    /// Files, by their path in the guest.
    public var files: [(path: String, contents: [UInt8])] = []
    /// Folders of this machine whose Lua files come along, and where.
    public var modules: [(folder: String, path: String)] = []
    /// cpio archives of the user's own programs, and what they are called here.
    public var archives: [(contents: [UInt8], name: String)] = []
    /// Modules of its kernel to load before anything else, in this order: drivers that are not built in.
    public var drivers: [GuestModule] = []
    /// Modules to load before devices are bound, in this order.
    public var kernelModules: [GuestModule] = []
    /// A cpio archive with a newer libibverbs than this machine's, and what it is called here; nil where there is none.
    public var libraries: (contents: [UInt8], name: String)?

    /// A program with its arguments; this program is ``GuestImage/program`` there.
    public init(_ words: [String], time: Double) {
        self.words = words
        self.time = time
    }
}

/// A kernel module of the guest.
public struct GuestModule: Sendable {
    /// Where it is in the guest.
    let path: String
    let contents: [UInt8]
    let parameters: [String]
    let sign: String?

    /// A module with "name=value" for each of its parameters; `sign` is a path that is there where the kernel has it built in,
    /// and none has to be loaded.
    public init(path: String, contents: [UInt8], parameters: [String] = [], unless sign: String? = nil) {
        self.path = path
        self.contents = contents
        self.parameters = parameters
        self.sign = sign
    }
}
