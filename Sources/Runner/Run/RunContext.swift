public import Bindings
public import Kernel

/// What the runs of a command have in common: where they run, what they may use and change, who watches their calls, and who
/// hears of them. Each role of each run gets its kernel and its permissions by it, so that these are the same everywhere.
public struct RunContext {
    /// Where scenarios run.
    public var bench: Bench
    /// Where `require` looks.
    public let library: Library
    /// The time and memory of one run; a scenario's own count where they are less.
    public var limits = Limits()
    /// Keeps the time; nil where a process outside does.
    public var deadline: Deadline?
    /// Makes what a role may change; each has its own.
    public var permissions: () -> Permissions = { Permissions() }
    /// Who watches the calls.
    public var tracing = CallTracing()
    /// Who hears of the runs.
    public var sinks = RunSinks()
    /// The log of the kernel that answers; nil where nobody watches it.
    public var kernelLog: KernelLog?
    /// What to bind before a run, and who does that; without a broker a simulated kernel's devices are bound by the run itself.
    /// nil for nothing.
    public var binding: (choice: BindingChoice, broker: (any BindingBroker)?)?
    /// The one role to run, and where the others are met; nil runs all of them here.
    public var assignment: RoleAssignment?
    /// Whether scenarios came from elsewhere, in a bundle: they run on this machine's devices only where that is trusted.
    public var isForeign = false

    /// Of a bench, with nothing to change and nobody who hears.
    public init(_ bench: Bench, _ library: Library) {
        self.bench = bench
        self.library = library
    }

    /// Whether anybody keeps what a case has found before it ends.
    var isObserved: Bool { deadline != nil || sinks.events != nil }
}

/// Who watches the calls of a run.
public struct CallTracing {
    /// Takes each call as a line; nil where nobody reads them.
    public var line: ((String) -> Void)?
    /// Is shown the kernel of each role before its first call, to record what goes through it; nil where nothing is recorded.
    public var attach: ((TracingKernel) -> Void)?
    /// Calls of the first role that are refused instead of being made.
    public var faults: FaultPlan?

    /// Nobody.
    public init() {}

    /// A kernel as it is watched. A simulated one is always wrapped: `bench.inject` refuses calls there.
    func watched(_ kernel: any Kernel, on bench: Bench) -> any Kernel {
        guard line != nil || attach != nil || bench.isSimulated else { return kernel }
        let tracing = TracingKernel(kernel, emit: line)
        attach?(tracing)
        return tracing
    }
}

/// Who hears of a run.
public struct RunSinks {
    /// Takes each line of the report, as ``PrintableText`` shows it.
    public var report: (String) -> Void = { _ in }
    /// Is told how the run goes on; nil where nobody listens.
    public var events: ((RunEvent) -> Void)?
    /// Takes the name of each case that begins, and its first error, for a record.
    public var notes: (CaseNote) -> Void = { _ in }
    /// Hears of waiting for devices that another run uses.
    public var claims: (DeviceClaim) -> Void = { _ in }

    /// Nobody.
    public init() {}
}

/// How far a run is with having its devices for itself.
public enum DeviceClaim: Sendable {
    /// It waits for devices that another one uses.
    case waits
    /// It has them.
    case has
}

/// The kernels of one run: a handle for each role.
struct RunKernels {
    /// The first role's.
    let first: any Kernel
    private let shared: any Kernel
    private let bench: Bench
    private let tracing: CallTracing

    init(_ context: RunContext) {
        bench = context.bench
        tracing = context.tracing
        shared = bench.makeKernel()
        first = tracing.watched(shared, on: bench)
        (first as? TracingKernel)?.faults = tracing.faults
    }

    /// Another role's: roles on a simulated bench share its kernel, those on a real one have handles of their own.
    func another() -> any Kernel {
        tracing.watched(bench.isSimulated ? shared : bench.makeKernel(), on: bench)
    }
}
