import CKernel
import Glibc
public import Kernel

/// A kernel that runs inside this program: VFIO, iommufd, dma-buf and RDMA as Linux 7.3 answers them, for the devices of
/// a ``Topology``. Time is virtual.
///
/// Checks stand in the kernel's order, each with the function it is from. Requests are decoded through the C
/// structures of uapi.h, never through the tables our own callers are traced with.
public final class SimKernel: Kernel {
    /// The bench this kernel runs.
    public let topology: Topology
    /// How many IOMMU faults are kept; later ones are dropped.
    static let mostFaults = 10_000
    /// How many different calls that are not modelled are listed.
    static let mostUnmodelled = 1000
    /// DMA that the IOMMU stopped, oldest first.
    public internal(set) var iommuFaults: [String] = []
    var wire = TLPLog()
    private(set) var idle: (() -> Void)?
    /// See ``Kernel/refusal``.
    public private(set) var refusal: Errno?
    private var posts = 0

    /// Lets the other roles run once in 32 posts, also while this one polls without ever waiting.
    func countPost() {
        posts &+= 1
        if posts % 32 == 0 { idle?() }
    }

    private let topDirectory = Directory(in: nil)
    private var hasFiles = false
    /// The root directory. Its tree is built on first use, as not every scenario opens files.
    var root: Directory {
        if !hasFiles {
            hasFiles = true
            buildTree()
        }
        return topDirectory
    }
    let functions: [String: PCIFunction]
    private let engines: [(function: PCIFunction, engine: EduEngine)]
    let groups: [Int: VFIOGroup]
    let uverbs: Uverbs
    let routes: P2PRoutes
    let tphModule: TPHModule?
    var files = DescriptorTable()
    var mappings = IntervalMap<UserMapping>()
    let pins: Pins
    private var clock: UInt64 = 0
    private var unmodelled: [String: Int] = [:]
    private var nextInode = 1

    /// Memory this kernel mapped into the program.
    struct UserMapping {
        let name: String
        var bar: BARAddress?
        /// What it is of, and how; nil for anonymous memory.
        let file: OpenFile?
        let protection: Int32
    }

    /// Boots the bench.
    public init(_ topology: Topology) {
        self.topology = topology
        pins = Pins(limit: topology.lockedMemory)
        var functions: [String: PCIFunction] = [:]
        var windows = Windows(functions: topology.devices.count)
        for (slot, device) in topology.devices.enumerated() where functions[device.address] == nil {
            functions[device.address] = PCIFunction(device, slot: slot, &windows)
        }
        self.functions = functions
        engines = functions.values.compactMap { function in function.engine.map { (function, $0) } }
        var groups: [Int: VFIOGroup] = [:]
        for device in topology.devices {
            guard let function = functions[device.address] else { continue }
            let group = groups[device.group] ?? VFIOGroup(device.group)
            if !group.functions.contains(where: { $0 === function }) { group.functions.append(function) }
            groups[device.group] = group
        }
        self.groups = groups
        routes = P2PRoutes(topology, functions)
        tphModule = TPHModule(topology)
        uverbs = Uverbs(topology, functions, routes)
    }

    deinit {
        for group in groups.values { group.abandon() }
        for entry in mappings.entries {
            guard let base = UnsafeMutableRawPointer(bitPattern: UInt(entry.first)) else { continue }
            _ = sys_munmap(base, Int(entry.last - entry.first + 1))
        }
    }

    // MARK: Time and reports

    /// See ``SystemCalls``. A microsecond passes with every call.
    public func monotonic() -> UInt64 {
        defer { pass(1000) }
        return clock
    }

    /// See ``SystemCalls``.
    public func sleep(nanoseconds: UInt64, stop: UnsafePointer<Int32>?) -> Int {
        pass(nanoseconds)
        idle?()
        return 0
    }

    /// What shall befall work requests of reliable connections.
    private var completionFaults: [CompletionFault] = []

    /// See ``Kernel/inject(_:)``.
    public func inject(_ fault: CompletionFault) -> Bool {
        completionFaults.append(fault)
        return true
    }

    /// See ``Kernel/clearCompletionFaults()``.
    public func clearCompletionFaults() -> [String] {
        defer { completionFaults = [] }
        return completionFaults.compactMap(\.unused)
    }

    /// Counts a work request of a reliable connection; what befalls it: the first fault whose turn it is.
    func nextCompletionFault() -> CompletionFault.Kind? {
        var found: CompletionFault.Kind?
        for index in completionFaults.indices {
            let kind = completionFaults[index].next()
            found = found ?? kind
        }
        return found
    }

    /// See ``Kernel/whenIdle(_:)``.
    public func whenIdle(_ action: (() -> Void)?) { idle = action }

    private static let endOfTime: UInt64 = 1 << 63

    /// VFIO's side of a function; nil where another driver has it.
    func device(of function: PCIFunction) -> VFIODevice? {
        groups[function.device.group]?.devices.first { $0.function === function }
    }

    /// The virtual clock, without a call.
    var now: UInt64 { clock }

    func pass(_ nanoseconds: UInt64) {
        // It stops at 2^63 ns (292 years), so that sums of it do not overflow.
        clock += min(nanoseconds, SimKernel.endOfTime - clock)
        for (function, engine) in engines where engine.isDue(clock) { engine.advance(clock, function, self) }
    }

    /// Counts a call that this kernel does not model, and gives the error it answers.
    func notModelled(_ call: String, _ errno: Int32) -> Errno {
        let isKnown = unmodelled[call] != nil
        // A script can make up any number of file names, so the list has a limit.
        let name = isKnown || unmodelled.count < SimKernel.mostUnmodelled ? call : "further calls"
        unmodelled[name, default: 0] += 1
        return Errno(errno)
    }

    /// See ``Kernel/notModelled``.
    public var notModelled: [(call: String, count: Int)] {
        unmodelled.sorted { $0.key < $1.key }.map { (call: $0.key, count: $0.value) }
    }

    /// See ``Kernel/open``.
    public var open: [String] {
        files.all.map { "descriptor \($0.descriptor): \($0.file.title)" }
            + mappings.entries.map { "mapping of \($0.last - $0.first + 1) bytes\($0.value.name)" } + uverbs.open
    }

    // MARK: Descriptors

    /// Its descriptors are its own: none is of this process.
    public func isForeign(_ descriptor: Int32) -> Bool { false }

    /// fs/open.c:force_o_largefile; glibc's own O_LARGEFILE is 0.
    static let largeFile: Int32 = 0o100000

    func install(_ file: OpenFile, closesOnExec: Bool = false) -> Int {
        files.install(file, closesOnExec: closesOnExec)
    }

    func inode() -> Int {
        defer { nextInode += 1 }
        return nextInode
    }

    func file(_ descriptor: Int32) throws(Errno) -> OpenFile {
        guard let file = files[descriptor] else { throw Errno(EBADF) }
        return file
    }

    func call(_ body: () throws(Errno) -> Int) -> Int {
        pass(1000)
        do throws(Errno) { return try body() } catch {
            refusal = error
            return error.result
        }
    }

    /// See ``SystemCalls``.
    public func open(_ path: String, flags: Int32) -> Int {
        call { () throws(Errno) in
            let closes = flags & O_CLOEXEC != 0
            if let file = try processFile(path, flags: flags) { return install(file, closesOnExec: closes) }
            if flags & O_CREAT != 0 { try create(path, exclusively: flags & O_EXCL != 0) }
            switch try node(path) {
            case .directory(let directory):
                guard flags & O_ACCMODE == O_RDONLY else { throw Errno(EISDIR) }
                guard directory.isTemporary else { throw notModelled("opening the folder \(path)", EISDIR) }
                return install(TextFile(self, path, flags: flags, []), closesOnExec: closes)
            case .link: throw Errno(ELOOP)
            case .attribute(let show, let store):
                // fs/kernfs/file.c:kernfs_fop_open
                guard flags & O_ACCMODE == O_WRONLY || show != nil, flags & O_ACCMODE == O_RDONLY || store != nil else {
                    throw Errno(EACCES)
                }
                return install(
                    AttributeFile(self, path, flags: flags, Array((show?() ?? "").utf8), store), closesOnExec: closes)
            case .file(let contents):
                if flags & O_TRUNC != 0 { contents.bytes = [] }
                return install(TemporaryFile(self, path, flags: flags, contents), closesOnExec: closes)
            case .claimed:
                // block/bdev.c:bd_may_claim
                guard flags & O_EXCL == 0 else { throw Errno(EBUSY) }
                return install(TextFile(self, path, flags: flags, []), closesOnExec: closes)
            case .text(let contents):
                return install(TextFile(self, path, flags: flags, contents()), closesOnExec: closes)
            case .device(let open):
                return install(
                    try open(flags & (O_ACCMODE | O_NONBLOCK) | SimKernel.largeFile), closesOnExec: closes)
            }
        }
    }

    /// What a path names. A file of sysfs or procfs that is missing here and that a real kernel may have is noted as not modelled.
    func node(_ path: String, follow: Bool = true) throws(Errno) -> Node {
        try checkRights(path)
        var walk = Directory.Walk()
        do throws(Errno) { return try root.find(path, follow: follow, &walk) } catch {
            guard walk.isUnknown, path.hasPrefix("/sys/") || path.hasPrefix("/proc/") else { throw error }
            throw notModelled("the file \(path)", ENOENT)
        }
    }

    /// What the bench keeps from the program, as an owner or a container does.
    func checkRights(_ path: String) throws(Errno) {
        func isBelow(_ places: [String]) -> Bool { places.contains { path == $0 || path.hasPrefix($0 + "/") } }
        guard !isBelow(topology.hidden) else { throw Errno(ENOENT) }
        guard !isBelow(topology.denied) else { throw Errno(EACCES) }
    }

    /// See ``SystemCalls``.
    public func close(_ descriptor: Int32) -> Int {
        call { () throws(Errno) in
            guard let file = files.remove(descriptor) else { throw Errno(EBADF) }
            file.release()
            return 0
        }
    }

    /// See ``SystemCalls``.
    public func ioctl(_ descriptor: Int32, _ request: UInt, _ argument: IoctlArgument) -> Int {
        call { () throws(Errno) in
            // The kernel's parameter is an unsigned int.
            let number = Int(UInt32(truncatingIfNeeded: request))
            return try file(descriptor).ioctl(number, UserMemory(argument: argument))
        }
    }
}
