import Glibc

/// Errnos that this program itself compares with or returns. A simulated kernel writes `Errno(EINVAL)` instead, so that
/// ``Errno/origin`` is the line of its check.
extension Errno {
    /// EPERM
    public static let notPermitted = Errno(EPERM)
    /// ENOENT
    public static let noEntry = Errno(ENOENT)
    /// EINTR
    public static let interrupted = Errno(EINTR)
    /// EIO
    public static let ioError = Errno(EIO)
    /// EBADF
    public static let badDescriptor = Errno(EBADF)
    /// ENOMEM
    public static let noMemory = Errno(ENOMEM)
    /// EACCES
    public static let denied = Errno(EACCES)
    /// EFAULT
    public static let badAddress = Errno(EFAULT)
    /// EBUSY
    public static let busy = Errno(EBUSY)
    /// EEXIST
    public static let exists = Errno(EEXIST)
    /// ENODEV
    public static let noDevice = Errno(ENODEV)
    /// EINVAL
    public static let invalid = Errno(EINVAL)
    /// ENOTTY
    public static let noSuchRequest = Errno(ENOTTY)
    /// ENOSYS
    public static let noSuchCall = Errno(ENOSYS)
    /// ELOOP
    public static let tooManyLinks = Errno(ELOOP)
    /// ENODATA
    public static let noData = Errno(ENODATA)
    /// EPROTO
    public static let protocolError = Errno(EPROTO)
    /// EMSGSIZE
    public static let messageTooLong = Errno(EMSGSIZE)
    /// EOPNOTSUPP
    public static let notSupported = Errno(EOPNOTSUPP)
    /// ETIMEDOUT
    public static let timedOut = Errno(ETIMEDOUT)
}

extension Errno {
    /// The C name of each number. Source: include/uapi/asm-generic/errno*.h.
    static let names: KeyValuePairs<Int32, String> = [
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
