/// The job of a guest, JSON at ``path`` of its image.
public struct GuestJob: Codable, Equatable, Sendable {
    /// A kernel module, and "name=value" for each of its parameters.
    public struct Module: Codable, Equatable, Sendable {
        /// Where it is in the image.
        public var path: String
        /// What it is loaded with.
        public var parameters: [String]
        /// A path that exists where the kernel has the module built in, and does not need it; nil where no kernel
        /// has.
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
        /// The driver that is to have them.
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
    /// Where it runs.
    public var directory: String
    /// Modules to load first: drivers that this kernel has as modules, perhaps that of the port.
    public var drivers: [String]
    /// Modules to load before devices are bound, in this order.
    public var modules: [Module]
    /// Devices to bind.
    public var bindings: [Binding]
    /// How many files of `results` the command may write.
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

    /// Where an image has it.
    public static let path = "/etc/peerlab-job.json"
    /// Where the command writes file `number` of those that come back.
    public static func result(_ number: Int) -> String { "/run/results/\(number)" }
    /// The socket on which the first program hears what is to be told: see ``GuestLine``.
    static let line = "/run/peerlab.socket"
    /// The name of the port that frames go over.
    public static let port = "peerlab"
    /// The name of the port that tells what served functions send: see ``GuestCapture``.
    static let capturePort = "peerlab.capture"
}
