import CKernel
import Glibc
import Kernel

/// A kernel with nothing but VFIO features 13 to 31 of one device, kallsyms and BTF. What DMA_BUF_TPH answers is written
/// down a second time here, from the patches' validation order, and shares nothing with the code under test.
final class TPHKernel: Kernel {
    /// What one revision's kernel does. Offsets are in the structure.
    struct Revision {
        var size: Int
        var st: (at: Int, size: Int)
        var ph: Int
        var stExt: Int?
        var hasFlags = true
        var zeroClears = false
        var once = false
        var gateFirst = false
        var gateLate = false

        static let v2 = Revision(size: 8, st: (4, 2), ph: 6, stExt: nil, hasFlags: false)
        static let v3 = Revision(size: 16, st: (8, 2), ph: 12, stExt: 10)
        static let v4 = Revision(size: 12, st: (8, 1), ph: 9, stExt: 10, once: true)
        static let v5 = Revision(size: 12, st: (8, 1), ph: 9, stExt: 10)
        static let v6 = Revision(size: 12, st: (10, 1), ph: 11, stExt: 8, zeroClears: true, gateFirst: true)
        static let v7 = Revision(size: 12, st: (10, 1), ph: 11, stExt: 8, zeroClears: true, gateLate: true)
        static let v9 = Revision(size: 12, st: (10, 1), ph: 11, stExt: 8, zeroClears: true, gateFirst: true)
    }

    enum Behaviour {
        case getOnly
        case foreignSet
        case errno(Int32)
        case tph(Revision)
    }

    struct Call {
        var number: UInt32
        var operation: Int
        var argsz: UInt32
        var data: [UInt8]
        /// Whether kallsyms had been read when it was made.
        var corroborated: Bool
    }

    struct Hint: Equatable {
        var st: UInt16?
        var stExt: UInt16?
        var ph: UInt8
    }

    static let device: Int32 = 7
    static let dmabuf: Int32 = 40

    var features: [UInt32: Behaviour]
    var files: [String: [UInt8]]
    /// The TPH completer, or in v6 the requester capability, of the device.
    var hasHardware = true
    var bound = true
    /// So many SETs are interrupted first.
    var interrupts = 0
    var hints: [Int32: Hint] = [:]
    private(set) var calls: [Call] = []
    private(set) var requests: [[UInt8]] = []
    private(set) var opened: [String] = []
    private var positions: [Int32: (path: String, place: Int)] = [:]

    init(_ features: [UInt32: Behaviour], symbols: [String]? = nil) {
        self.features = features
        files = symbols.map { ["/proc/kallsyms": TPHKernel.kallsyms($0)] } ?? [:]
    }

    /// Long enough for several reads, the names of interest in a module and at odd places.
    static func kallsyms(_ symbols: [String]) -> [UInt8] {
        var text = ""
        for index in 0..<3000 {
            text += "ffffffff81\(100000 + index) t __pfx_filler_dma_buf_get_pci_tph_\(index)\n"
            if index % 400 == 399, index / 400 < symbols.count {
                text += "0000000000000000 T \(symbols[index / 400])\t[vfio_pci_core]\n"
            }
        }
        return Array(text.utf8)
    }

    var notModelled: [(call: String, count: Int)] { [] }
    func isForeign(_ descriptor: Int32) -> Bool { false }
    var open: [String] { positions.values.map(\.path) }

    func open(_ path: String, flags: Int32) -> Int {
        opened.append(path)
        guard files[path] != nil else { return -Int(ENOENT) }
        let descriptor = Int32(100 + opened.count)
        positions[descriptor] = (path, 0)
        return Int(descriptor)
    }

    func fsync(_ descriptor: Int32) -> Int { -Int(EROFS) }
    func mkdir(_ path: String) -> Int { -Int(EROFS) }
    func rename(_ path: String, to other: String) -> Int { -Int(EROFS) }
    func unlink(_ path: String) -> Int { -Int(EROFS) }

    func close(_ descriptor: Int32) -> Int {
        positions.removeValue(forKey: descriptor) == nil ? -Int(EBADF) : 0
    }

    func read(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard let (path, place) = positions[descriptor], let bytes = files[path] else { return -Int(EBADF) }
        // As a seq_file does, whatever the buffer.
        let chunk = bytes[place...].prefix(min(buffer.count, 4093))
        buffer.copyBytes(from: chunk)
        positions[descriptor]?.place += chunk.count
        return chunk.count
    }

    func ioctl(_ descriptor: Int32, _ request: UInt, _ argument: IoctlArgument) -> Int {
        guard descriptor == TPHKernel.device, request == UInt(VFIO_DEVICE_FEATURE), case .memory(let bytes) = argument
        else { return -Int(ENOTTY) }
        requests.append(Array(bytes))
        let argsz = bytes.loadUnaligned(as: UInt32.self)
        let flags = bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
        let call = Call(
            number: flags & 0xffff, operation: Int(flags & ~0xffff), argsz: argsz, data: Array(bytes[8...]),
            corroborated: opened.contains("/proc/kallsyms"))
        calls.append(call)
        return bound ? answer(call) : -Int(EINVAL)
    }

    private func answer(_ call: Call) -> Int {
        let (set, get, probe) = (
            call.operation & 0x20000 != 0, call.operation & 0x10000 != 0, call.operation >> 18 == 1
        )
        switch features[call.number] {
        case nil: return -Int(ENOTTY)
        case .errno(let code): return -Int(code)
        case .getOnly: return set ? -Int(EINVAL) : probe ? 0 : -Int(ENOMSG)
        case .foreignSet: return get ? -Int(EINVAL) : 0
        case .tph(let revision):
            if revision.gateFirst, !hasHardware { return -Int(EOPNOTSUPP) }
            if get { return -Int(EINVAL) }
            if probe { return 0 }
            return set ? self.set(revision, call) : -Int(EINVAL)
        }
    }

    private func set(_ revision: Revision, _ call: Call) -> Int {
        guard Int(call.argsz) - 8 >= revision.size else { return -Int(EINVAL) }
        guard call.data.count >= revision.size else { return -Int(EFAULT) }
        func load(_ offset: Int, _ size: Int) -> Int {
            (0..<size).reduce(0) { $0 | Int(call.data[offset + $1]) << (8 * $1) }
        }
        let flags = revision.hasFlags ? load(4, 4) : 1
        guard flags & ~3 == 0, flags != 0 || revision.zeroClears else { return -Int(EINVAL) }
        if revision.hasFlags, load(revision.ph, 1) > 3 { return -Int(EINVAL) }
        if revision.gateLate, !hasHardware { return -Int(EOPNOTSUPP) }
        let descriptor = Int32(truncatingIfNeeded: load(0, 4))
        guard descriptor == TPHKernel.dmabuf else { return -Int(EBADF) }
        if revision.once, hints[descriptor] != nil { return -Int(EBUSY) }
        if interrupts > 0 {
            interrupts -= 1
            return -Int(EINTR)
        }
        let hint = Hint(
            st: flags & 1 == 0 ? nil : UInt16(load(revision.st.at, revision.st.size)),
            stExt: flags & 2 == 0 ? nil : UInt16(load(revision.stExt ?? 0, 2)), ph: UInt8(load(revision.ph, 1)))
        hints[descriptor] = flags == 0 ? nil : hint
        return 0
    }
}

/// What no test here calls.
extension TPHKernel {
    func write(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer) -> Int { -Int(ENOSYS) }
    func pread(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int { -Int(ENOSYS) }
    func pwrite(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer, at offset: UInt64) -> Int { -Int(ENOSYS) }
    func lseek(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int { -Int(ENOSYS) }
    func memfd(flags: UInt32) -> Int { -Int(ENOSYS) }
    func truncate(_ descriptor: Int32, _ length: Int64) -> Int { -Int(ENOSYS) }
    func fcntl(_ descriptor: Int32, _ command: Int32, _ argument: Int) -> Int { -Int(ENOSYS) }
    func poll(_ descriptor: Int32, _ events: Int16) -> Int { -Int(ENOSYS) }
    func eventfd(_ count: UInt32) -> Int { -Int(ENOSYS) }
    func mmap(length: Int, protection: Int32, flags: Int32, _ descriptor: Int32, at offset: UInt64) throws(Errno)
        -> UnsafeMutableRawPointer
    { throw Errno(ENOSYS) }
    func munmap(_ address: UnsafeMutableRawPointer, length: Int) -> Int { -Int(ENOSYS) }
    func readlink(_ path: String) throws(Errno) -> String { throw Errno(ENOSYS) }
    func list(_ path: String) throws(Errno) -> [String] {
        let names = files.keys.filter { $0.hasPrefix(path + "/") }.compactMap {
            $0.dropFirst(path.count + 1).split(separator: "/").first.map(String.init)
        }
        guard !names.isEmpty else { throw Errno(ENOSYS) }
        return Set(names).sorted()
    }
    func monotonic() -> UInt64 { 0 }
    func sleep(nanoseconds: UInt64, stop: UnsafePointer<Int32>?) -> Int { -Int(ENOSYS) }
    func call<Answer, each Argument>(
        _ verb: Verb<Answer, repeat each Argument>, _ arguments: repeat each Argument
    ) throws(Errno) -> Answer { throw Errno(ENOSYS) }
}
