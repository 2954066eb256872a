import ArgumentParser
import Commands
import Glibc
import Kernel
import LabBench
import LiveKernel
import LuaKit
import Records
import Runner

/// `peerlab run`
struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", _superCommandName: "peerlab",
        abstract: "Run scenarios or scripts.",
        discussion: """
            Benches: sim[:NAME or FILE] is a model of kernel, PCIe and NIC inside this process and needs nothing; lab \
            boots a real kernel in QEMU with emulated devices; host uses this machine's devices. \
            On a terminal, stderr shows which case of a simulated bench runs.
            """)

    @OptionGroup var on: BenchOptions

    @Option(
        help: ArgumentHelp(
            "Print every ioctl and verb, decoded, to FILE; to stderr where no FILE follows.", valueName: "FILE"))
    var trace: String?

    @Option(
        help: ArgumentHelp(
            """
            Print every request on the links of a simulated bench, or of the lab's emulated ConnectX, to FILE, - for \
            stderr.
            """, valueName: "FILE"))
    var tlp: String?

    @Option(
        help: ArgumentHelp(
            "Refuse calls of a simulated bench: OPERATION:ERROR[:N|N+|N+STEP], or rate=P[:seed=S] for any.",
            valueName: "FAULT"))
    var inject: [String] = []

    @Option(
        help: ArgumentHelp(
            "Write every ioctl and verb to FILE, to be replayed, made smaller, or turned into C.", valueName: "FILE"))
    var record: String?

    @OptionGroup var expect: ExpectOption

    @OptionGroup var cases: CaseOption

    @Option(help: ArgumentHelp("Write the results to FILE.", valueName: "FILE"))
    var json: String?

    @Option(
        help: ArgumentHelp(
            "Run one of a scenario's roles; the others are processes of their own.", valueName: "NAME"))
    var role: String?

    @Option(
        help: ArgumentHelp(
            "Where the first role listens; with srun, role and address are found. For networks you trust.",
            valueName: "HOST:PORT"))
    var rendezvous: String?

    @Option(
        help: ArgumentHelp("Run on these CPUs alone: 3 or 0,2 or 4-7; one for each role is best.", valueName: "LIST"))
    var cpu: String?

    @Option(help: ArgumentHelp("What math.random begins with; results have it.", valueName: "NUMBER"))
    var seed: Int64?

    @Option(
        help: ArgumentHelp(
            """
            Bind this device to vfio-pci for the run and bring it back afterwards; auto: those that options name, by \
            address or by id. After a crash, peerlab restore brings them back.
            """, valueName: "ADDRESS|auto"))
    var bind: [String] = []

    @Option(
        help: ArgumentHelp(
            "End what takes longer; a scenario's own timeout counts where it is less. Default: none, 10m for a bundle.",
            valueName: "30s")
    )
    var timeout: String?

    @Option(
        help: ArgumentHelp(
            "Memory for a script, and for what it makes the process hold; a scenario's own limit counts where it is less. Default: 1G.",
            valueName: "256M"))
    var memory: String?

    @ArgumentParser.Argument(
        help: "Scenarios, each a file or the name of one that comes with peerlab (peerlab list), or a bundle.",
        completion: .custom(Completions.scenarios))
    var files: [String]

    /// Binds devices of this machine through the unconfined process.
    private var broker: BindingClient?
    /// Writes the results where this process dies before it can.
    private var keeper: RunKeeper?
    /// The folder with a bundle's files.
    private var unpacked: String?

    private enum CodingKeys: CodingKey {
        case on, trace, tlp, inject, record, expect, cases, json, role, rendezvous, cpu, seed, bind, timeout, memory,
            files
    }

    func validate() throws {
        guard record == nil || files.count == 1 else {
            throw ValidationError("--record takes one scenario: a record is of one kernel, from its start")
        }
        guard tlp == nil || on.bench != "lab" || on.lab.nic != nil else {
            throw ValidationError(
                "--tlp shows what the lab's emulated ConnectX sends: --lab-nic connectx gives the lab one; nobody sees the "
                    + "links of its other devices")
        }
        guard tlp == nil || on.bench != "lab" || on.lab.exporter == nil || on.lab.machine == .belowSwitch else {
            throw ValidationError(
                "--tlp with --lab-exporter needs --lab-machine below-switch: through the host bridge nobody tells the NIC's "
                    + "process which addresses are the exporter's")
        }
    }

    mutating func run() throws {
        files = try ShippedScenarios.paths(files)
        // Before the bundle, which is an input file too, is unpacked below, and before there may be a second process.
        let outputs = try RunOutputs(self)
        let bundle = files.count == 1 ? try BundleRun(files[0], on: on) : nil
        let rights = try on.bench == "host" ? BindingRights(BindingFolder.choice(bind), on.grants) : nil
        // The lab's guest reports its progress; a run here may be ended by a signal.
        if let json = outputs.json, on.bench != "lab" {
            keeper = try RunKeeper(json, bundle.map { [$0.name] } ?? files)
        }
        if bundle != nil || rights != nil || keeper != nil {
            broker = try OuterProcess.goOnInside(rights) { [keeper] code in
                bundle?.remove()
                return keeper?.keep(code) ?? code
            }
        }
        if let bundle {
            let named = files[0]
            files = [bundle.path]
            unpacked = bundle.place
            let isNamed = CommandLine.arguments.contains { $0 == "--bench" || $0.hasPrefix("--bench=") }
            if !isNamed, let model = bundle.model {
                on.bench = "sim:" + (try SimBench.shipped(model, in: named))
            }
            on.settings = bundle.settings + on.settings
            return try runFiles(isForeign: true, on: isNamed ? nil : bundle.record)
        }
        try runFiles(isForeign: false, on: nil)
    }

    /// `isForeign`: the files come from a bundle; `record` may describe the machine on which it was made.
    private mutating func runFiles(isForeign: Bool, on record: Record?) throws {
        do {
            let tph = try on.tph()
            let pairs = try on.pairs()
            let faults = try faultPlan()
            if on.grants.trust, !isForeign {
                throw ValidationError("--trust is for a bundle: what the command line names is trusted")
            }
            let binding = try BindingFolder.choice(bind)
            let assignment = try Launcher().assignment(role: role, rendezvous: rendezvous)
            if assignment != nil, binding != nil {
                throw ValidationError(
                    "--bind is for a run with all roles; for others, peerlab bind and peerlab restore")
            }
            if let cpu {
                guard let cpus = Machine.cpus(cpu) else {
                    throw ValidationError("--cpu takes CPU numbers, such as 3 or 0,2 or 4-7, not '\(cpu)'")
                }
                do throws(Machine.NoCPU) { try Machine.pin(to: cpus) } catch {
                    throw ValidationError(
                        "--cpu \(cpu): CPU \(error.number) is not here for this program (\(error.errno.name))")
                }
            }
            // Scenarios of unknown origin have a time limit by default.
            let limits = try Limits(timeout: timeout ?? (isForeign ? "10m" : nil), memory: memory)
            let outputs = try RunOutputs(self, json: keeper?.output)
            let expected = try expect.failures()
            var library = on.library
            library.unpacked = unpacked
            let bench: Bench
            var capture: GuestCapture?
            switch try BenchChoice(on.bench) {
            case .lab: throw ExitCode(try LabRun(self, limits, outputs).run())
            case .host:
                capture = on.insideLab == nil ? nil : GuestCapture()
                bench = HostBench.make(tph: tph, insideLab: on.insideLab, capture: capture)
            case .sim(let name):
                bench =
                    try record.map { try SimBench.make(for: $0, tph: tph, library: library) }
                    ?? SimBench.make(name, tph: tph, library: library)
            }
            var context = RunContext(bench, library)
            context.limits = limits
            context.isForeign = isForeign
            context.binding = binding.map { ($0, broker) }
            context.cases = cases.selection(isOneOfMany: files.count > 1)
            context.tracing.faults = bench.isSimulated ? faults : nil
            // On a simulated bench every role runs in this process, whatever started it.
            context.assignment = bench.isSimulated ? nil : assignment
            throw ExitCode(try LocalRun(self, context, outputs, keeper, capture, expected).run(pairs))
        } catch let error as ErrorValue {
            throw ValidationError(error.line)
        } catch let error as Failure {
            throw ValidationError("cannot write the results: \(error.message)")
        }
    }

    /// The plan that `--inject` gives; nil without it.
    private func faultPlan() throws -> FaultPlan? {
        guard !inject.isEmpty else { return nil }
        var plan = FaultPlan()
        for fault in inject {
            let parts = fault.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            do throws(FaultPlan.RuleError) {
                if parts[0].hasPrefix("rate="), let rate = Double(parts[0].dropFirst(5)) {
                    let seed = parts.count < 2 ? 1 : parts[1].hasPrefix("seed=") ? UInt64(parts[1].dropFirst(5)) : nil
                    guard let seed, parts.count < 3 else { throw FaultPlan.RuleError(message: "it is rate=P[:seed=S]") }
                    try plan.refuse(rate: rate, seed: seed)
                } else {
                    guard (2...3).contains(parts.count) else {
                        throw FaultPlan.RuleError(message: "it is OPERATION:ERROR[:N|N+|N+STEP]")
                    }
                    try plan.add(parts[0], parts[1], when: parts.count == 3 ? parts[2] : "1")
                }
            } catch {
                throw ValidationError("--inject '\(fault)': \(error.message)")
            }
        }
        return plan
    }

    /// A mistake in a file fails the run, as a failed case does. A wrong command line with which nothing was run is a
    /// usage error.
    static func status(_ results: [ScenarioResult], _ errors: [ErrorValue] = []) -> ExitStatus {
        let verdicts = results.map(\.verdict)
        if verdicts.contains(.interrupted) { return .interrupted }
        if !errors.isEmpty, errors.count == results.count, errors.allSatisfy({ $0.kind == .usage }) { return .usage }
        if verdicts.contains(.fail) || verdicts.contains(.unexpectedPass) { return .fail }
        return verdicts.contains(.pass) || verdicts.contains(.expectedFailure) ? .pass : .skipped
    }
}
