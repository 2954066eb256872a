import Glibc

/// An errno value: the number the kernel gave and its name. Source: include/uapi/asm-generic/errno*.h.
public struct Errno: Error, Sendable, Hashable, CustomStringConvertible {
    /// The positive number, 1 to 4095.
    public let code: Int32
    private let file: StaticString
    private let line: UInt32

    /// Wraps a positive errno number.
    public init(_ code: Int32, file: StaticString = #fileID, line: UInt32 = #line) {
        self.code = code
        self.file = file
        self.line = line
    }

    /// The errno of a negative system call result; nil where the call succeeded.
    public init?(result: Int) {
        guard result < 0 else { return nil }
        self.init(Int32(truncatingIfNeeded: -result))
    }

    /// The line of this program that gave it: of a simulated kernel's, the check that refused. It tells two refusals of one
    /// run apart and means nothing else.
    public var origin: String { "\(file):\(line)" }

    /// Wherever they come from.
    public static func == (one: Errno, other: Errno) -> Bool { one.code == other.code }
    /// See ``==(_:_:)``.
    public func hash(into hasher: inout Hasher) { hasher.combine(code) }

    /// The errno with that C name ("EINVAL"); nil for a name this table lacks.
    public init?(name: String) {
        guard let entry = Errno.names.first(where: { $0.value == name }) else { return nil }
        self.init(entry.key)
    }

    /// The C name, or "errno N" where the table has none.
    public var name: String { Errno.names[code] ?? "errno \(code)" }

    /// The C library's sentence for it ("Invalid argument").
    public var message: String { String(cString: strerror(code)) }

    /// The name.
    public var description: String { name }

    /// The negated number, as a system call returns it.
    public var result: Int { -Int(code) }

    /// The names of all errnos, sorted.
    public static var allNames: [String] { names.values.sorted() }

    private static let names: [Int32: String] = [
        EPERM: "EPERM", ENOENT: "ENOENT", ESRCH: "ESRCH", EINTR: "EINTR", EIO: "EIO", ENXIO: "ENXIO", E2BIG: "E2BIG",
        ENOEXEC: "ENOEXEC", EBADF: "EBADF", ECHILD: "ECHILD", EAGAIN: "EAGAIN", ENOMEM: "ENOMEM", EACCES: "EACCES",
        EFAULT: "EFAULT", ENOTBLK: "ENOTBLK", EBUSY: "EBUSY", EEXIST: "EEXIST", EXDEV: "EXDEV", ENODEV: "ENODEV",
        ENOTDIR: "ENOTDIR", EISDIR: "EISDIR", EINVAL: "EINVAL", ENFILE: "ENFILE", EMFILE: "EMFILE", ENOTTY: "ENOTTY",
        ETXTBSY: "ETXTBSY", EFBIG: "EFBIG", ENOSPC: "ENOSPC", ESPIPE: "ESPIPE", EROFS: "EROFS", EMLINK: "EMLINK",
        EPIPE: "EPIPE", EDOM: "EDOM", ERANGE: "ERANGE", EDEADLK: "EDEADLK", ENAMETOOLONG: "ENAMETOOLONG",
        ENOLCK: "ENOLCK", ENOSYS: "ENOSYS", ENOTEMPTY: "ENOTEMPTY", ELOOP: "ELOOP", ENOMSG: "ENOMSG", EIDRM: "EIDRM",
        ECHRNG: "ECHRNG", EL2NSYNC: "EL2NSYNC", EL3HLT: "EL3HLT", EL3RST: "EL3RST", ELNRNG: "ELNRNG",
        EUNATCH: "EUNATCH", ENOCSI: "ENOCSI", EL2HLT: "EL2HLT", EBADE: "EBADE", EBADR: "EBADR", EXFULL: "EXFULL",
        ENOANO: "ENOANO", EBADRQC: "EBADRQC", EBADSLT: "EBADSLT", EBFONT: "EBFONT", ENOSTR: "ENOSTR",
        ENODATA: "ENODATA", ETIME: "ETIME", ENOSR: "ENOSR", ENONET: "ENONET", ENOPKG: "ENOPKG", EREMOTE: "EREMOTE",
        ENOLINK: "ENOLINK", EADV: "EADV", ESRMNT: "ESRMNT", ECOMM: "ECOMM", EPROTO: "EPROTO", EMULTIHOP: "EMULTIHOP",
        EDOTDOT: "EDOTDOT", EBADMSG: "EBADMSG", EOVERFLOW: "EOVERFLOW", ENOTUNIQ: "ENOTUNIQ", EBADFD: "EBADFD",
        EREMCHG: "EREMCHG", ELIBACC: "ELIBACC", ELIBBAD: "ELIBBAD", ELIBSCN: "ELIBSCN", ELIBMAX: "ELIBMAX",
        ELIBEXEC: "ELIBEXEC", EILSEQ: "EILSEQ", ERESTART: "ERESTART", ESTRPIPE: "ESTRPIPE", EUSERS: "EUSERS",
        ENOTSOCK: "ENOTSOCK", EDESTADDRREQ: "EDESTADDRREQ", EMSGSIZE: "EMSGSIZE", EPROTOTYPE: "EPROTOTYPE",
        ENOPROTOOPT: "ENOPROTOOPT", EPROTONOSUPPORT: "EPROTONOSUPPORT", ESOCKTNOSUPPORT: "ESOCKTNOSUPPORT",
        EOPNOTSUPP: "EOPNOTSUPP", EPFNOSUPPORT: "EPFNOSUPPORT", EAFNOSUPPORT: "EAFNOSUPPORT", EADDRINUSE: "EADDRINUSE",
        EADDRNOTAVAIL: "EADDRNOTAVAIL", ENETDOWN: "ENETDOWN", ENETUNREACH: "ENETUNREACH", ENETRESET: "ENETRESET",
        ECONNABORTED: "ECONNABORTED", ECONNRESET: "ECONNRESET", ENOBUFS: "ENOBUFS", EISCONN: "EISCONN",
        ENOTCONN: "ENOTCONN", ESHUTDOWN: "ESHUTDOWN", ETOOMANYREFS: "ETOOMANYREFS", ETIMEDOUT: "ETIMEDOUT",
        ECONNREFUSED: "ECONNREFUSED", EHOSTDOWN: "EHOSTDOWN", EHOSTUNREACH: "EHOSTUNREACH", EALREADY: "EALREADY",
        EINPROGRESS: "EINPROGRESS", ESTALE: "ESTALE", EUCLEAN: "EUCLEAN", ENOTNAM: "ENOTNAM", ENAVAIL: "ENAVAIL",
        EISNAM: "EISNAM", EREMOTEIO: "EREMOTEIO", EDQUOT: "EDQUOT", ENOMEDIUM: "ENOMEDIUM", EMEDIUMTYPE: "EMEDIUMTYPE",
        ECANCELED: "ECANCELED", ENOKEY: "ENOKEY", EKEYEXPIRED: "EKEYEXPIRED", EKEYREVOKED: "EKEYREVOKED",
        EKEYREJECTED: "EKEYREJECTED", EOWNERDEAD: "EOWNERDEAD", ENOTRECOVERABLE: "ENOTRECOVERABLE", ERFKILL: "ERFKILL",
    ]
}
