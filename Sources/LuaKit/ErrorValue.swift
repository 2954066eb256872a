/// An answer that a script finds wrong.
public struct WrongAnswer: Sendable, Equatable {
    /// What was answered: "EADDRINUSE".
    public var found: String
    /// What is right.
    public var right: String
    /// Of what: "the map"; empty where that is not said.
    public var what: String

    /// A wrong answer.
    public init(found: String, right: String, what: String) {
        self.found = found
        self.right = right
        self.what = what
    }
}

/// An error as scripts see it: a table with these fields, printed as one line.
public struct ErrorValue: Error, Sendable {
    /// What kind of error it is.
    public var kind: ErrorKind
    /// One line without position.
    public var message: String
    /// "FILE:LINE: " of the script's line; empty where unknown.
    public var position = ""
    /// The call that failed: "VFIO_DEVICE_RESET".
    public var operation: String?
    /// The kernel's number, positive.
    public var errno: Int32?
    /// Its name: "EINVAL".
    public var name: String?
    /// The object of the call, such as a device.
    public var object: String?
    /// The call's decoded arguments.
    public var request: String?
    /// The likely reason and what to do.
    public var hint: String?
    /// Of an expectation: which answer was wrong; nil where it names none.
    public var wrong: WrongAnswer?
    /// Of a "module not found" error: the module's name, and the names of files that exist.
    public var absentModule: (name: String, known: [String])?
    /// Lua's stack at the error.
    public var traceback: String?

    /// An error of a kind, with its line.
    public init(kind: ErrorKind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// Position and message.
    public var line: String { position + message }
}

/// A state's context that can add what it knows about an error, such as the likely reason.
public protocol ErrorExplainer: AnyObject {
    /// The error, completed.
    func explained(_ error: ErrorValue) -> ErrorValue
}

/// An error that scripts can receive.
public protocol LuaError: Error {
    /// The table that a script sees.
    var luaError: ErrorValue { get }
}

extension ErrorValue: LuaError {
    /// Itself.
    public var luaError: ErrorValue { self }
}
