import CKernel
import Glibc
public import Kernel
public import LuaKit

/// What the functions of a Lua state work on: the kernel, and what the run has decided about it.
public final class Host {
    /// The bench's kernel.
    public let realKernel: any Kernel
    /// Whether answers come from a simulated bench: results must then say so.
    public let isSimulated: Bool
    /// How the TPH feature's number and layout are found.
    public let tph: TPHResolver
    /// While set, everything that would touch the bench is refused with it: a script's file is loaded, not run.
    public var refusal: ErrorValue?
    /// Where the roles of the scenario meet; nil where it has none.
    public var rendezvous: (any Rendezvous)?
    /// What the script may change.
    public let permissions: Permissions
    /// Bytes that the script printed.
    public var printed = 0
    /// Stops a script that printed too much.
    public var stop: (() -> Void)?
    /// Lines that a case logged, in order.
    public var log: [String] = []

    /// What a case declared that the kernel will log.
    public var expectedKernelLog: [String] = []
    /// The same of what the kernel may leave out.
    public var allowedKernelLog: [String] = []
    static let mostKernelPatterns = 100

    /// Bytes of ``log``, and so many may be; numbers that may be measured in a case.
    static let longestLog = 64 << 20, mostMetrics = 1_000_000
    var logged = 0
    /// Bytes of memory that the process had before the script, and that the script has touched since that was last looked at.
    private let memoryBefore = sys_peak_memory()
    private var touched = 0

    /// What a run takes beside what is counted: copies of what is read and written, results.
    private static let unaccounted: UInt64 = 256 << 20

    /// Whether the process holds more than a script with that limit may make it hold. Pages of a device's memory come only
    /// when they are written, a model's when they are read too.
    func isOverfull(touching count: Int, limit: UInt64) -> Bool {
        // At least a page each time, and not looked at for every register.
        touched += min(max(count, 4096), 1 << 30)
        guard touched >= 1 << 20 else { return false }
        touched = 0
        // Each role has its own limit, and all one process.
        let roles = UInt64(1 + (rendezvous?.peers.count ?? 0))
        let (most, overflow) = limit.multipliedReportingOverflow(by: roles)
        return !overflow && sys_peak_memory() > memoryBefore &+ most.addingSaturated(Host.unaccounted)
    }

    /// Heaps of dma-bufs that the script has open.
    var heaps: Set<Int32> = []

    /// A number is a new file's.
    func noteOpened(_ descriptor: Int32, _ path: String) {
        let resolved = realpath(path, nil).map { pointer in
            defer { free(pointer) }
            return String(cString: pointer)
        }
        memoryFiles[descriptor] = nil
        if (resolved ?? path).hasPrefix("/dev/dma_heap/") {
            heaps.insert(descriptor)
        } else {
            heaps.remove(descriptor)
        }
    }

    /// Bytes that a request asks a heap for; 0 for any other. drivers/dma-buf/dma-heap.c:dma_heap_ioctl looks at the request's
    /// number alone, and refuses what has no size in pages.
    func heapBuffer(_ descriptor: Int32, _ request: UInt, _ bytes: UnsafeRawBufferPointer) -> Int {
        guard heaps.contains(descriptor), request & 0xff == 0, bytes.count >= 8 else { return 0 }
        let (end, overflow) = bytes.loadUnaligned(as: UInt64.self).addingReportingOverflow(4095)
        return overflow ? 0 : Int(clamping: end & ~4095)
    }

    /// Sizes of the anonymous files that the script made.
    var memoryFiles: [Int32: UInt64] = [:]

    /// What a case measured.
    public var metrics: [Metric] = []
    /// See ``metrics``.
    public var distributions: [Distribution] = []
    /// What makes the numbers of a case worth less than they look.
    public private(set) var warnings: [String] = []
    private static let mostWarnings = 20

    /// Adds to ``warnings``, where there are not too many.
    func warn(_ text: String) {
        if warnings.count < Host.mostWarnings { warnings.append(text) }
    }

    /// What a case found out about hints, each once.
    public private(set) var evidence: [Evidence] = []

    /// Adds to ``evidence``.
    func add(_ found: Evidence) {
        if let place = evidence.firstIndex(where: { $0.isSame(found) }) {
            evidence[place].count += 1
        } else {
            evidence.append(found)
        }
    }

    /// Called when a case has logged or measured something, before it goes on.
    public var hasNews: (() -> Void)?
    private var newsTold = (log: 0, metrics: 0, distributions: 0)
    private var tellings = 0
    private var lastTelling: UInt64 = 0
    /// So many are told at once; of more, what came in that time together, nanoseconds.
    private static let promptTellings = 256, pauseBetween: UInt64 = 50_000_000

    /// A case has logged or measured something.
    func findingCame() {
        guard let hasNews else { return }
        tellings += 1
        let now = sys_monotonic()
        guard tellings <= Host.promptTellings || now &- lastTelling >= Host.pauseBetween else { return }
        lastTelling = now
        hasNews()
    }

    /// Gives what was logged and measured since the last call.
    public func takeNews(_ log: inout [String], _ metrics: inout [Metric], _ distributions: inout [Distribution]) {
        log = Array(self.log[newsTold.log...])
        metrics = Array(self.metrics[newsTold.metrics...])
        distributions = Array(self.distributions[newsTold.distributions...])
        newsTold = (self.log.count, self.metrics.count, self.distributions.count)
    }

    /// Forgets what a case has brought: another one begins.
    public func clearFindings() {
        newsTold = (0, 0, 0)
        tellings = 0
        log = []
        logged = 0
        expectedKernelLog = []
        allowedKernelLog = []
        metrics = []
        distributions = []
        evidence = []
        warnings = []
    }

    /// What a result depends on and only came up while it ran, such as the GID that was chosen: names and text.
    public var facts: [String: String] = [:]

    /// A host on a kernel.
    public init(kernel: any Kernel, isSimulated: Bool, tph: TPHResolver, permissions: Permissions = Permissions()) {
        self.permissions = permissions
        realKernel = kernel
        self.isSimulated = isSimulated
        self.tph = tph
    }

    /// The kernel, unless the bench must not be touched now.
    func kernel() throws(ErrorValue) -> any Kernel {
        if let refusal { throw refusal }
        return realKernel
    }
}

extension UInt64 {
    fileprivate func addingSaturated(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}

extension Call {
    /// Before a script reads or writes memory that was counted nowhere: a device's. A model's pages come with either.
    func touch(_ count: Int, _ function: String) throws {
        let limit = memoryLimit
        guard host.isOverfull(touching: count, limit: limit) else { return }
        throw ErrorValue(
            kind: .memory,
            "\(function): not enough memory: the process holds more than the \(limit >> 20) MiB that the script may have (--memory, "
                + "or the scenario's own limit) and 256 MiB for itself")
    }

    /// A descriptor's number that a script gave; none of this program's own files (results, sockets, the terminal).
    func descriptor(_ argument: Argument, _ function: String) throws -> Int32 {
        try check(descriptor: argument.int32, function)
        return argument.int32
    }

    /// What is kept of a result until its run ends.
    func keep(_ found: Evidence) throws {
        try hold(512, "mr:tph")
        host.add(found)
    }

    func check(descriptor: Int32, _ function: String) throws {
        guard try kernel().isForeign(descriptor) else { return }
        var error = ErrorValue(
            kind: .permission,
            "\(function): descriptor \(descriptor) is not the script's: it did not open it, nor was it given it")
        error.operation = function
        error.errno = EBADF
        error.name = "EBADF"
        throw error
    }

    var host: Host { context(Host.self) }
    /// See ``Host/kernel()``.
    func kernel() throws -> any Kernel { try host.kernel() }
}

extension Host: ErrorExplainer {
    /// A call that was refused on purpose has no cause of its own.
    public func explained(_ error: ErrorValue) -> ErrorValue {
        guard let operation = error.operation, let errno = error.errno, let kernel = realKernel as? TracingKernel,
            kernel.wasInjected(operation, errno)
        else { return error }
        var error = error
        if let hint = error.hint, error.message.hasSuffix(": \(hint)") {
            error.message.removeLast(hint.count + 2)
        }
        error.hint = "refused on purpose (--inject, bench.inject)"
        error.message += ": " + (error.hint ?? "")
        return error
    }
}

extension Failure: LuaError {
    /// A "kernel" error with all fields.
    public var luaError: ErrorValue {
        var error = ErrorValue(kind: .kernel, message)
        error.operation = operation
        error.errno = errno.code
        error.name = errno.name
        error.object = object
        error.request = request
        error.hint = hint
        return error
    }
}

/// Every module that scripts can require, apart from those of the stdlib.
public let modules: [Module] = [
    vfioModule, iommufdModule, type1Module, memoryModule, rdmaModule, sysModule, trafficModule, benchModule, caseModule,
]
