/// A command to run in a guest, and the files of this machine that it gets.
public struct GuestCommand: Sendable {
    /// The program, an absolute path in the guest, and its arguments.
    public var words: [String]
    /// Environment variables in addition to those that every program of the image needs, "NAME=value" each.
    public var environment: [String] = []
    /// Its working folder; created where the guest has none.
    public var directory = "/root"
    /// Its time limit in seconds. The guest has ``LabBench/setup`` more, to load modules, bind devices and end.
    public var time: Double
    /// Number of result files: see ``GuestJob/result(_:)``.
    public var results = 0
    /// Folders of this machine with the stdlib.
    public var stdlib: [String] = []
    /// Files, by their path in the guest.
    public var files: [(path: String, contents: [UInt8])] = []
    /// Folders of this machine whose Lua files are copied, and their paths in the guest.
    public var modules: [(folder: String, path: String)] = []
    /// cpio archives of the user's programs, and their names for messages.
    public var archives: [(contents: [UInt8], name: String)] = []
    /// Modules of its kernel to load before anything else, in this order: drivers that are not built in.
    public var drivers: [GuestModule] = []
    /// Modules to load before devices are bound, in this order.
    public var kernelModules: [GuestModule] = []
    /// A cpio archive with a newer libibverbs than this machine's, and what it is called here; nil where there is none.
    public var libraries: (contents: [UInt8], name: String)?

    /// A program with its arguments; ``GuestImage/program`` is this program.
    public init(_ words: [String], time: Double) {
        self.words = words
        self.time = time
    }
}

/// A kernel module of the guest.
public struct GuestModule: Sendable {
    /// Its path in the guest.
    let path: String
    let contents: [UInt8]
    let parameters: [String]
    let sign: String?

    /// A module, with "name=value" for each of its parameters. `sign`: a path that exists where the kernel has it built
    /// in, so that it need not be loaded.
    public init(path: String, contents: [UInt8], parameters: [String] = [], unless sign: String? = nil) {
        self.path = path
        self.contents = contents
        self.parameters = parameters
        self.sign = sign
    }
}
