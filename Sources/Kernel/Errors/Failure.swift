/// A call that the kernel, or libibverbs, refused: what was asked, of which object, what came back and why that usually
/// happens. Wrong use of the Lua API is not a `Failure`: that is reported before any call is made.
public struct Failure: Error, Sendable {
    /// The call as the field names it: "VFIO_DEVICE_FEATURE DMA_BUF GET", "ibv_reg_dmabuf_mr", "open".
    public let operation: String
    /// What the kernel answered.
    public let errno: Errno
    /// What it was asked of: "0000:3b:00.0 region 2", "mlx5_0".
    public let object: String
    /// The decoded arguments; empty where the call has none.
    public let request: String
    /// The likely reason and what to do next; nil where nothing useful is known.
    public let hint: String?

    /// A refusal of `operation` on `object`.
    public init(_ operation: String, _ errno: Errno, object: String, request: String = "", hint: String? = nil) {
        self.operation = operation
        self.errno = errno
        self.object = object
        self.request = request
        self.hint = hint ?? Refusal.hint(for: operation, errno, on: object)
    }

    /// A refusal of a call on a subject whose errnos have reasons of their own.
    public init(
        _ operation: String, _ errno: Errno, object: String, request: String = "", of subject: RefusalSubject
    ) {
        self.init(
            operation, errno, object: object, request: request, hint: Refusal.hint(of: subject, errno))
    }

    /// The same with another hint, where there is one.
    public func explained(_ hint: String?) -> Failure {
        guard let hint else { return self }
        return Failure(operation, errno, object: object, request: request, hint: hint)
    }

    /// One line: operation, errno, object, hint.
    public var message: String {
        let head = "\(operation): \(errno.name) (\(errno.message)) on \(object)"
        return hint.map { "\(head): \($0)" } ?? head
    }
}
