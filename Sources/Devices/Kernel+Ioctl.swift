import CKernel
public import Kernel

extension Kernel {
    /// Sends one ioctl with a structure (in and out) and turns a refusal into a `Failure` with the decoded request.
    /// EINTR is reported, not retried: some of these requests are not safe to repeat.
    @discardableResult
    func send<Structure>(
        _ number: Int, on file: FileKind, _ descriptor: Int32, _ structure: inout Structure, object: String
    ) throws(Failure) -> Int {
        let result = withUnsafeMutableBytes(of: &structure) { ioctl(descriptor, UInt(number), .memory($0)) }
        guard let errno = Errno(result: result) else { return result }
        throw withUnsafeMutableBytes(of: &structure) {
            failure(number, on: file, errno, .memory($0), object: object)
        }
    }

    /// Sends one ioctl whose argument is a number or nothing.
    @discardableResult
    func send(
        _ number: Int, on file: FileKind, _ descriptor: Int32, _ argument: IoctlArgument = .none, object: String
    ) throws(Failure) -> Int {
        let result = ioctl(descriptor, UInt(number), argument)
        guard let errno = Errno(result: result) else { return result }
        throw failure(number, on: file, errno, argument, object: object)
    }

    /// Sends one ioctl whose argument is these bytes, in and out.
    @discardableResult
    func send(
        _ number: Int, on file: FileKind, _ descriptor: Int32, bytes: inout [UInt8], object: String
    ) throws(Failure) -> Int {
        let result = bytes.withUnsafeMutableBytes { ioctl(descriptor, UInt(number), .memory($0)) }
        guard let errno = Errno(result: result) else { return result }
        throw bytes.withUnsafeMutableBytes { failure(number, on: file, errno, .memory($0), object: object) }
    }

    private func failure(
        _ number: Int, on file: FileKind, _ errno: Errno, _ argument: IoctlArgument, object: String
    ) -> Failure {
        let decoder = Decoder()
        guard let request = Request.find(UInt(number), on: file) else {
            return Failure("ioctl \(hex(number))", errno, object: object)
        }
        return Failure(
            decoder.operation(request, argument), errno, object: object, request: decoder.input(request, argument))
    }

    /// Opens a path, or says why not.
    func opened(_ path: String, flags: Int32) throws(Failure) -> OwnedDescriptor {
        let result = open(path, flags: flags)
        if let errno = Errno(result: result) {
            guard path == "/dev/iommu" else { throw Failure("open", errno, object: path) }
            throw Failure("open", errno, object: path, of: .iommufd)
        }
        return OwnedDescriptor(Int32(truncatingIfNeeded: result), self)
    }

    /// A whole small file, such as one of sysfs or fdinfo.
    public func contents(of path: String) throws(Errno) -> String {
        String(decoding: try bytes(of: path), as: UTF8.self)
    }

    /// The same, where it is no text. EFBIG where it has more than `limit` bytes.
    func bytes(of path: String, limit: Int = .max) throws(Errno) -> [UInt8] {
        let descriptor = open(path, flags: 0)
        if let errno = Errno(result: descriptor) { throw errno }
        let owned = OwnedDescriptor(Int32(truncatingIfNeeded: descriptor), self)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = chunk.withUnsafeMutableBytes { read(owned.raw, $0) }
            if let errno = Errno(result: count) { throw errno }
            guard count > 0 else { return bytes }
            guard count <= limit - bytes.count else { throw Errno(EFBIG) }
            bytes += chunk[..<count]
        }
    }
}

/// A descriptor that several objects use and one of them closes. The others then get EBADF, never a later file that
/// happens to have the same number.
public final class SharedDescriptor {
    private var owned: OwnedDescriptor

    init(_ owned: consuming OwnedDescriptor) { self.owned = owned }

    /// The number, or -1 once it is closed.
    public var raw: Int32 { owned.isOpen ? owned.raw : -1 }
    /// Whether it is open.
    public var isOpen: Bool { owned.isOpen }
    var kernel: any Kernel { owned.kernel }

    func close() -> Int { owned.close() }
}
