import Bindings
import Devices
import Kernel
import LuaKit

/// The devices of a run: bound for it, nobody else's meanwhile, and brought back.
final class RunDevices {
    private let context: RunContext
    private let host: Host
    private let state: LuaState
    private let report: RunReport
    /// Who has bound devices for the run.
    private var broker: (any BindingBroker)?
    /// A simulated kernel has its own files, as short-lived as itself.
    private static let simulatedJournals = ["/run/peerlab"]

    init(_ script: ScenarioScript, _ report: RunReport) {
        context = script.context
        host = script.host
        state = script.state
        self.report = report
    }

    /// Binds those that the command line names.
    func bindNamed() throws(ErrorValue) {
        if case .devices(let addresses)? = context.binding?.choice { try bind(addresses) }
    }

    /// Binds those that options name and vfio-pci does not have, where that is wanted.
    func bindChosen(_ options: [OptionSchema], _ values: [String: LuaValue]) throws(ErrorValue) {
        guard context.binding?.choice == .automatic else { return }
        let unbound: [PCIAddress]
        do throws(Failure) { unbound = try DeviceChoice.unbound(options, values, host) } catch { throw error.luaError }
        if unbound.isEmpty {
            report.emit("  NOTE: --bind auto binds nothing: no option names a device that vfio-pci does not have")
        }
        try bind(unbound)
    }

    private func bind(_ addresses: [PCIAddress]) throws(ErrorValue) {
        guard let binding = context.binding, !addresses.isEmpty else { return }
        let broker =
            binding.broker
            ?? OwnBindings { [host] emit in
                DeviceBinder(
                    kernel: host.realKernel, folders: RunDevices.simulatedJournals, isShared: false, emit: emit)
            }
        try broker.bind(addresses) { report.emit("  \($0)") }
        self.broker = broker
        // Who could be asked was asked where it was bound.
        if binding.choice == .automatic { for address in addresses { host.permissions.grant(device: "\(address)") } }
    }

    /// Once nothing is open any more. What could not be restored, in words.
    func restore() -> [String] {
        defer { broker = nil }
        return broker?.restore { report.emit("  \($0)") } ?? []
    }

    /// Takes what the scenario names for itself; nil on a simulated bench, which is nobody else's anyway.
    func lock(_ scenario: Scenario, _ chosen: DeviceChoice, _ functions: [PCIFunction]) throws(ErrorValue)
        -> DeviceLocks?
    {
        guard !context.bench.isSimulated else { return nil }
        let names = DeviceLocks.names(addresses(scenario, chosen), nic: chosen.subjects.nic, from: functions)
        let locks = try DeviceLocks(names, isInterrupted: { [state] in state.isInterrupted }) { name in
            report.emit("  waits for \(name), which another peerlab uses")
            context.sinks.claims(.waits)
        }
        context.sinks.claims(.has)
        return locks
    }

    private func addresses(_ scenario: Scenario, _ chosen: DeviceChoice) -> [PCIAddress] {
        scenario.options.compactMap { option in
            guard case .pci = option.kind, case .string(let text)? = chosen.values[option.name] else { return nil }
            return PCIAddress(text)
        }
    }

    /// Keeps what the machine and the devices are; of a model there is nothing to say.
    func describe(_ scenario: Scenario, _ chosen: DeviceChoice) {
        guard !context.bench.isSimulated else { return }
        let environment = Environment(
            machine: context.bench.machine(), nic: chosen.subjects.nic, functions: addresses(scenario, chosen),
            kernel: host.realKernel)
        report.result.environment = environment.facts
        for warning in environment.warnings { report.warn(warning) }
    }
}
