/// A call that failed in the kernel or in libibverbs: operation, object, errno and the likely reason. Wrong use of the
/// Lua API is not a `Failure`: that is reported before any call is made.
public struct Failure: Error, Sendable {
    /// The call's usual name: "VFIO_DEVICE_FEATURE DMA_BUF GET", "ibv_reg_dmabuf_mr", "open".
    public let operation: String
    /// The kernel's errno.
    public let errno: Errno
    /// The object of the call: "0000:3b:00.0 region 2", "mlx5_0".
    public let object: String
    /// The decoded arguments; empty where the call has none.
    public let request: String
    /// The likely reason and what to do next; nil where nothing useful is known.
    public let hint: String?

    /// A failure of `operation` on `object`.
    public init(_ operation: String, _ errno: Errno, object: String, request: String = "", hint: String? = nil) {
        self.operation = operation
        self.errno = errno
        self.object = object
        self.request = request
        self.hint = hint ?? Refusal.hint(for: operation, errno, on: object)
    }

    /// A failure of a call on a subject for which errnos have their own meanings.
    public init(
        _ operation: String, _ errno: Errno, object: String, request: String = "", of subject: RefusalSubject
    ) {
        self.init(
            operation, errno, object: object, request: request, hint: Refusal.hint(of: subject, errno))
    }

    /// The same failure with another hint; unchanged for nil.
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
