import CKernel
import Glibc
public import Kernel
public import LuaKit

/// The context of a run's Lua state: the kernel, and what the run has decided about it.
public final class Host {
    /// The bench's kernel.
    public let realKernel: any Kernel
    /// Whether answers come from a simulated bench: results must then say so.
    public let isSimulated: Bool
    /// How the TPH feature's number and layout are found.
    public let tph: TPHResolver
    /// While set, this error refuses every use of the bench: a script's file is only being loaded.
    public var refusal: ErrorValue?
    /// Connects the roles of the scenario; nil where it has none.
    public var rendezvous: (any Rendezvous)?
    /// Effects, devices and paths that the script may use.
    public let permissions: Permissions
    /// Bytes that the script printed.
    public var printed = 0
    /// What the script printed while it was loaded, which for a plain script is all.
    public var printedLines = PrintedLines()
    /// Stops a script that printed more than it may.
    public var stop: (() -> Void)?
    /// Lines that a case logged, in order.
    public var log: [String] = []

    /// Patterns of kernel messages that a case requires.
    public var expectedKernelLog: [String] = []
    /// Patterns of kernel messages that a case permits, but does not require.
    public var allowedKernelLog: [String] = []
    static let mostKernelPatterns = 100

    /// Limits: bytes of ``log``, and metrics of a case.
    static let longestLog = 64 << 20, mostMetrics = 1_000_000
    var logged = 0
    /// Peak memory of the process before the script ran, bytes. `touched`: bytes that the script has touched since the
    /// last check.
    private let memoryBefore = sys_peak_memory()
    private var touched = 0

    /// Allowance for memory that is not counted, bytes: copies of read and written data, results.
    private static let unaccounted: UInt64 = 256 << 20

    /// Whether the process uses more memory than scripts with that limit can account for. Device memory is counted
    /// nowhere: its pages are allocated only when they are written (those of a model also when they are read).
    func isOverfull(touching count: Int, limit: UInt64) -> Bool {
        // Counts at least a page each time, and checks once per MiB, not for every register access.
        touched += min(max(count, 4096), 1 << 30)
        guard touched >= 1 << 20 else { return false }
        touched = 0
        // Each role has its own limit, and all share this process.
        let roles = UInt64(1 + (rendezvous?.peers.count ?? 0))
        let (most, overflow) = limit.multipliedReportingOverflow(by: roles)
        return !overflow && sys_peak_memory() > memoryBefore &+ most.addingSaturated(Host.unaccounted)
    }

    /// Descriptors of dma-buf heaps that the script has open.
    var heaps: Set<Int32> = []

    /// Notes that a descriptor now belongs to the newly opened file.
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

    /// Bytes that a request allocates from a heap; 0 for any other request. drivers/dma-buf/dma-heap.c:dma_heap_ioctl
    /// tells requests apart by number alone, and refuses a size that has no pages.
    func heapBuffer(_ descriptor: Int32, _ request: UInt, _ bytes: UnsafeRawBufferPointer) -> Int {
        guard heaps.contains(descriptor), request & 0xff == 0, bytes.count >= 8 else { return 0 }
        let (end, overflow) = bytes.loadUnaligned(as: UInt64.self).addingReportingOverflow(4095)
        return overflow ? 0 : Int(clamping: end & ~4095)
    }

    /// Sizes in bytes of the anonymous files that the script made, by descriptor.
    var memoryFiles: [Int32: UInt64] = [:]

    /// Measurements of the current case.
    public var metrics: [Metric] = []
    /// See ``metrics``.
    public var distributions: [Distribution] = []
    /// Reasons for which measurements of the case are less reliable than they look.
    public private(set) var warnings: [String] = []
    private static let mostWarnings = 20

    /// Adds to ``warnings``, up to a limit.
    func warn(_ text: String) {
        if warnings.count < Host.mostWarnings { warnings.append(text) }
    }

    /// Findings about hints of the case, equal ones once.
    public private(set) var evidence: [Evidence] = []

    /// Adds to ``evidence``, or counts an equal one.
    func add(_ found: Evidence) {
        if let place = evidence.firstIndex(where: { $0.isSame(found) }) {
            evidence[place].count += 1
        } else {
            evidence.append(found)
        }
    }

    /// Called where a case finds an answer wrong, and goes on.
    public var foundWrong: ((WrongAnswer) -> Void)?
    /// Called after a case has logged or measured something, before it continues.
    public var hasNews: (() -> Void)?
    private var newsTold = (log: 0, metrics: 0, distributions: 0)
    private var tellings = 0
    private var lastTelling: UInt64 = 0
    /// The first 256 findings of a case are passed on at once; later ones at most every 50 ms (the pause is in
    /// nanoseconds).
    private static let promptTellings = 256, pauseBetween: UInt64 = 50_000_000

    /// Passes on that a case has logged or measured something.
    func findingCame() {
        guard let hasNews else { return }
        tellings += 1
        let now = sys_monotonic()
        guard tellings <= Host.promptTellings || now &- lastTelling >= Host.pauseBetween else { return }
        lastTelling = now
        hasNews()
    }

    /// Returns log lines and measurements since the last call.
    public func takeNews(_ log: inout [String], _ metrics: inout [Metric], _ distributions: inout [Distribution]) {
        log = Array(self.log[newsTold.log...])
        metrics = Array(self.metrics[newsTold.metrics...])
        distributions = Array(self.distributions[newsTold.distributions...])
        newsTold = (self.log.count, self.metrics.count, self.distributions.count)
    }

    /// Clears the findings of a case, before another one begins.
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

    /// Conditions of the result that became known during the run, such as the chosen GID: names and text.
    public var facts: [String: String] = [:]

    /// The context for a run on a kernel.
    public init(kernel: any Kernel, isSimulated: Bool, tph: TPHResolver, permissions: Permissions = Permissions()) {
        self.permissions = permissions
        realKernel = kernel
        self.isSimulated = isSimulated
        self.tph = tph
    }

    /// The kernel; throws ``refusal`` while that is set.
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
    /// Call before a script reads or writes device memory, which is not counted elsewhere. Throws where the process
    /// uses too much.
    func touch(_ count: Int, _ function: String) throws {
        let limit = memoryLimit
        guard host.isOverfull(touching: count, limit: limit) else { return }
        throw ErrorValue(
            kind: .memory,
            "\(function): not enough memory: the process holds more than the \(limit >> 20) MiB that the script may have (--memory, "
                + "or the scenario's own limit) and 256 MiB for itself")
    }

    /// A descriptor number from a script; throws for this program's own files (results, sockets, the terminal).
    func descriptor(_ argument: Argument, _ function: String) throws -> Int32 {
        try check(descriptor: argument.int32, function)
        return argument.int32
    }

    /// Keeps a finding until the run ends, and counts its memory.
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
    /// Replaces the hint of an error that was injected: it has no other cause.
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

/// All modules that scripts can require, apart from those of the stdlib.
public let modules: [Module] = [
    vfioModule, dmabufModule, iommufdModule, type1Module, memoryModule, rdmaModule, sysModule, trafficModule,
    benchModule, caseModule,
]
