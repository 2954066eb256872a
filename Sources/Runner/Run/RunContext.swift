public import Bindings
public import Kernel

/// Common settings of a command's runs: the bench, limits, permissions, and the receivers of calls and results. Every
/// role's kernel and permissions are made from it.
public struct RunContext {
    /// The bench.
    public var bench: Bench
    /// The folders in which `require` searches.
    public let library: Library
    /// Limits of one run. A scenario's own limits apply where they are lower.
    public var limits = Limits()
    /// The time limit of ``limits`` as text, where the caller knows that it is the scenario's own before the scenario is
    /// loaded; nil for a limit of the command line.
    public var timeLimit: String?
    /// Enforces the time limit; nil where a process outside does.
    public var deadline: Deadline?
    /// Makes the permissions of a role; each role has its own.
    public var permissions: () -> Permissions = { Permissions() }
    /// Observers of the calls.
    public var tracing = CallTracing()
    /// Receivers of results.
    public var sinks = RunSinks()
    /// The log of the kernel under test; nil where it is not watched.
    public var kernelLog: KernelLog?
    /// Which devices to bind before a run, and the broker that does it; without a broker the run binds devices of a
    /// simulated kernel itself. nil for none.
    public var binding: (choice: BindingChoice, broker: (any BindingBroker)?)?
    /// The cases to run; nil for all.
    public var cases: CaseSelection?
    /// The one role to run here, and the address of the others; nil runs all roles here.
    public var assignment: RoleAssignment?
    /// The failures that are expected of the run, beside those that its scenario declares.
    public var expected: [ExpectedFailure] = []
    /// Whether scenarios are of unknown origin, from a bundle: on this machine's devices they run only where that is
    /// trusted.
    public var isForeign = false

    /// For a bench, without grants or receivers.
    public init(_ bench: Bench, _ library: Library) {
        self.bench = bench
        self.library = library
    }

    /// Whether findings of a case are needed before it ends.
    var isObserved: Bool { deadline != nil || sinks.events != nil }
}

/// Observers of a run's calls.
public struct CallTracing {
    /// Gets each call as a line; nil for none.
    public var line: ((String) -> Void)?
    /// Gets the kernel of each role before its first call, to record its calls; nil where nothing is recorded.
    public var attach: ((TracingKernel) -> Void)?
    /// Injected errors for calls of the first role.
    public var faults: FaultPlan?

    /// Without observers.
    public init() {}

    /// Wraps a kernel for the observers. A simulated one is always wrapped, as `bench.inject` refuses calls there.
    func watched(_ kernel: any Kernel, on bench: Bench) -> any Kernel {
        guard line != nil || attach != nil || bench.isSimulated else { return kernel }
        let tracing = TracingKernel(kernel, emit: line)
        attach?(tracing)
        return tracing
    }
}

/// Receivers of a run's results.
public struct RunSinks {
    /// Gets each line of the report, escaped by ``PrintableText``.
    public var report: (String) -> Void = { _ in }
    /// Gets the run's events; nil for none.
    public var events: ((RunEvent) -> Void)?
    /// Gets the name of each case that begins, and its first error, for a record.
    public var notes: (CaseNote) -> Void = { _ in }
    /// Gets the state of waiting for devices that another run uses.
    public var claims: (DeviceClaim) -> Void = { _ in }

    /// Without receivers.
    public init() {}
}

/// The state of a run's claim to exclusive use of its devices.
public enum DeviceClaim: Sendable {
    /// It waits for devices that another run uses.
    case waits
    /// It has them.
    case has
}

/// Kernel handles of one run, one for each role.
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

    /// A handle for another role: roles on a simulated bench share its kernel, those on a real one have handles of
    /// their own.
    func another() -> any Kernel {
        tracing.watched(bench.isSimulated ? shared : bench.makeKernel(), on: bench)
    }
}
