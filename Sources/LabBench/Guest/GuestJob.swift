/// The job of a guest, JSON at ``path`` of its image.
public struct GuestJob: Codable, Equatable, Sendable {
    /// A kernel module, and "name=value" for each of its parameters.
    public struct Module: Codable, Equatable, Sendable {
        /// Its path in the image.
        public var path: String
        /// Its parameters.
        public var parameters: [String]
        /// A path that exists where the kernel has the module built in, so that it need not be loaded; nil where no
        /// kernel has.
        public var sign: String?

        /// A module of the image.
        public init(path: String, parameters: [String] = [], unless sign: String? = nil) {
            self.path = path
            self.parameters = parameters
            self.sign = sign
        }
    }

    /// Devices to bind.
    public struct Binding: Codable, Equatable, Sendable {
        /// vendor:device in hexadecimal, as sysfs shows them.
        public var identity: String
        /// The driver to bind them to.
        public var driver: String

        /// Binds every device of an identity.
        public init(identity: String, driver: String) {
            self.identity = identity
            self.driver = driver
        }
    }

    /// The program, an absolute path, and its arguments.
    public var command: [String]
    /// Its variables, "NAME=value" each.
    public var environment: [String]
    /// Its working folder.
    public var directory: String
    /// Modules to load first: drivers that this kernel does not have built in, perhaps that of the port.
    public var drivers: [String]
    /// Modules to load before devices are bound, in this order.
    public var modules: [Module]
    /// Devices to bind.
    public var bindings: [Binding]
    /// Number of files that the command may write to `result(_:)`.
    public var files: Int

    /// A job.
    public init(
        command: [String], environment: [String], directory: String, drivers: [String] = [], modules: [Module],
        bindings: [Binding], files: Int
    ) {
        self.command = command
        self.environment = environment
        self.directory = directory
        self.drivers = drivers
        self.modules = modules
        self.bindings = bindings
        self.files = files
    }

    /// Its path in an image.
    public static let path = "/etc/peerlab-job.json"
    /// The path to which the command writes file `number` of its results.
    public static func result(_ number: Int) -> String { "/run/results/\(number)" }
    /// The socket at which init receives messages of programs: see ``GuestLine``.
    static let line = "/run/peerlab.socket"
    /// The name of the port for frames.
    public static let port = "peerlab"
    /// The name of the port for requests of served functions: see ``GuestCapture``.
    static let capturePort = "peerlab.capture"
}
