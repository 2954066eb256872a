import Bindings
import Devices
import Kernel
import LuaKit

/// The devices of a run: binds them, keeps them for this run alone, and restores them.
final class RunDevices {
    private let context: RunContext
    private let host: Host
    private let state: LuaState
    private let report: RunReport
    /// The broker that has bound devices for the run.
    private var broker: (any BindingBroker)?
    /// Folder of binding journals in a simulated kernel's own file system, which ends with it.
    private static let simulatedJournals = ["/run/peerlab"]

    init(_ script: ScenarioScript, _ report: RunReport) {
        context = script.context
        host = script.host
        state = script.state
        self.report = report
    }

    /// Binds devices that the command line names.
    func bindNamed() throws(ErrorValue) {
        if case .devices(let addresses)? = context.binding?.choice { try bind(addresses) }
    }

    /// With `--bind auto`: binds devices that options name and that vfio-pci does not have yet.
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
        // The broker asked the user before it bound them.
        if binding.choice == .automatic { for address in addresses { host.permissions.grant(device: "\(address)") } }
    }

    /// Call once everything is closed. Returns a line for each device that could not be restored.
    func restore() -> [String] {
        defer { broker = nil }
        return broker?.restore { report.emit("  \($0)") } ?? []
    }

    /// Locks the devices that the scenario uses; nil on a simulated bench, which no other program uses.
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

    /// Stores properties of the machine and the devices; none for a simulated bench.
    func describe(_ scenario: Scenario, _ chosen: DeviceChoice) {
        guard !context.bench.isSimulated else { return }
        let environment = Environment(
            machine: context.bench.machine(), nic: chosen.subjects.nic, functions: addresses(scenario, chosen),
            kernel: host.realKernel)
        report.result.environment = environment.facts
        for warning in environment.warnings { report.warn(warning) }
    }
}
