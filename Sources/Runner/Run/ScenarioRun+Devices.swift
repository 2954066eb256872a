import Bindings
import Devices
import Kernel
import LuaKit

/// Devices of a run: bound for it, nobody else's meanwhile, and what they are.
extension ScenarioRun {
    /// A simulated kernel has its own files, as short-lived as itself.
    private static let simulatedJournals = ["/run/peerlab"]

    func bind(_ addresses: [PCIAddress]) throws(ErrorValue) {
        guard let binding, !addresses.isEmpty else { return }
        let broker =
            binding.broker
            ?? OwnBindings { [host] emit in
                DeviceBinder(
                    kernel: host.realKernel, folders: ScenarioRun.simulatedJournals, isShared: false, emit: emit)
            }
        try broker.bind(addresses) { emit("  \($0)") }
        self.broker = broker
        // Who could be asked was asked where it was bound.
        if binding.choice == .automatic { for address in addresses { host.permissions.grant(device: "\(address)") } }
    }

    /// Once nothing is open any more. What could not be restored, in words.
    func restoreDevices() -> [String] {
        defer { broker = nil }
        return broker?.restore { emit("  \($0)") } ?? []
    }

    /// Takes what the scenario names for itself. A simulated bench is nobody else's anyway; of roles that are processes of
    /// their own the first has the locks.
    func lock(_ scenario: Scenario, _ chosen: DeviceChoice, _ functions: [PCIFunction])
        throws(ErrorValue) -> DeviceLocks?
    {
        guard !bench.isSimulated, place == nil || seat?.role == scenario.roles.first else { return nil }
        let names = DeviceLocks.names(addresses(scenario, chosen), nic: chosen.subjects.nic, from: functions)
        let locks = try DeviceLocks(names, isInterrupted: { [state] in state.isInterrupted }) { name in
            emit("  waits for \(name), which another peerlab uses")
            whenWaiting?()
        }
        whenClaimed?()
        return locks
    }

    private func addresses(_ scenario: Scenario, _ chosen: DeviceChoice) -> [PCIAddress] {
        scenario.options.compactMap { option in
            guard case .pci = option.kind, case .string(let text)? = chosen.values[option.name] else { return nil }
            return PCIAddress(text)
        }
    }

    func record(environmentOf scenario: Scenario, _ chosen: DeviceChoice) {
        guard !bench.isSimulated else { return }
        let environment = Environment(
            machine: bench.machine(), nic: chosen.subjects.nic, functions: addresses(scenario, chosen),
            kernel: host.realKernel)
        result.environment = environment.facts
        result.warnings += environment.warnings
        for warning in environment.warnings { emit("  WARNING: \(warning)") }
    }
}
