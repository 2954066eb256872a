import Bindings
import Devices
import Kernel
import LuaKit

/// Why a scenario cannot be tried on a bench.
struct SkipReason: Error {
    let reason: String
}

/// Option values with `auto` replaced by devices of the bench: those with the lowest address, options with an `id`
/// before options with a memory size, each device once.
struct DeviceChoice {
    private(set) var values: [String: LuaValue]
    private(set) var subjects = Need.Subjects()

    /// Checks that devices which the user named exist; a missing one is an error, not a reason to skip.
    static func checkNamed(_ options: [OptionSchema], _ values: [String: LuaValue], _ host: Host) throws(ErrorValue) {
        for option in options {
            guard case .pci = option.kind, case .string(let text)? = values[option.name], let address = PCIAddress(text)
            else { continue }
            do throws(Failure) {
                _ = try PCIFunction(address, kernel: host.realKernel)
            } catch {
                throw ErrorValue(kind: .usage, "option '\(option.name)': \(error.message)")
            }
        }
    }

    /// The functions to choose from. Reading every function of a machine takes time, so it is done only for scenarios
    /// that use devices.
    static func functions(_ options: [OptionSchema], needs: [Need], _ host: Host) throws(Failure) -> [PCIFunction] {
        let usesDevices = !needs.isEmpty || options.contains { if case .pci = $0.kind { true } else { false } }
        return usesDevices ? try PCIFunction.all(kernel: host.realKernel).filter(\.isVFIO) : []
    }

    /// Functions that options name, by address or id, and that no VFIO driver has. An option with only a memory size
    /// does not count: any device might fit it.
    static func unbound(_ options: [OptionSchema], _ values: [String: LuaValue], _ host: Host) throws(Failure)
        -> [PCIAddress]
    {
        var free = try PCIFunction.all(kernel: host.realKernel)
        var taken: [PCIFunction] = []
        func take(_ fits: (PCIFunction) -> Bool) {
            let index = free.firstIndex { $0.isVFIO && fits($0) } ?? free.firstIndex(where: fits)
            if let index { taken.append(free.remove(at: index)) }
        }
        for option in options {
            guard case .pci = option.kind, case .string(let text)? = values[option.name], let address = PCIAddress(text)
            else { continue }
            take { $0.address == address }
        }
        for option in options {
            if case .pci(let id?, _) = option.kind, values[option.name] == .string("auto") { take { $0.id == id } }
        }
        return taken.filter { !$0.isVFIO }.map(\.address)
    }

    /// The granted ones of these functions, after asking for those that options name. Throws where none is left to
    /// choose.
    static func granted(
        _ functions: [PCIFunction], _ scenario: Scenario, _ values: [String: LuaValue], _ host: Host
    ) throws(ErrorValue) -> [PCIFunction] {
        let permissions = host.permissions
        for option in scenario.options {
            guard case .string(let name)? = values[option.name], name != "auto" else { continue }
            switch option.kind {
            case .pci: try permissions.permit(device: PCIAddress(name).map { "\($0)" } ?? name, scenario.name)
            case .rdma: try permissions.permit(device: name, scenario.name)
            default: continue
            }
        }
        let granted = functions.filter { permissions.allows(device: "\($0.address)") }
        let vfio: [Need] = [.vfio, .dmabuf, .dmabufTPH]
        let usesDevices =
            scenario.needs.contains(where: vfio.contains)
            || scenario.options.contains { if case .pci = $0.kind { true } else { false } }
        if usesDevices, granted.isEmpty, let first = functions.first {
            try permissions.permit(device: "\(first.address)", scenario.name)
            return [first]
        }
        return granted
    }

    /// What there is to choose from beside PCI functions, asked when it is needed.
    struct Machine {
        /// The RDMA devices that may be used, or why there is none.
        let nics: () -> (names: [String], lacking: String)
        /// What to do where no function fits; empty where nothing is known.
        var advice: ((PCIFunction) -> Bool) -> String = { _ in "" }

        init(
            nics: @escaping () -> (names: [String], lacking: String),
            advice: @escaping ((PCIFunction) -> Bool) -> String = { _ in "" }
        ) {
            self.nics = nics
            self.advice = advice
        }

        /// What a kernel has of them, and the user grants.
        init(_ host: Host) {
            nics = {
                let all = (try? RDMADevice.all(kernel: host.realKernel))?.map(\.name) ?? []
                let granted = all.filter { host.permissions.allows(device: $0) }
                guard granted.isEmpty else { return (granted, "") }
                let lacking =
                    all.isEmpty
                    ? Need.noNIC(host.realKernel)
                    : "none is granted of \(all.joined(separator: ", ")): --allow device=\(all[0])"
                return ([], lacking)
            }
        }
    }

    init(
        _ options: [OptionSchema], needs: [Need], from functions: [PCIFunction], _ values: [String: LuaValue],
        _ machine: Machine
    ) throws(SkipReason) {
        self.values = values
        var free = functions
        free.removeAll { function in
            values.values.contains { $0 == .string("\(function.address)") }
        }
        for option in options {
            if case .pci(let id?, _) = option.kind {
                try choose(option, from: &free, "with id \(id)", machine) { $0.id == id }
            }
        }
        for option in options {
            guard case .pci(nil, let memory) = option.kind else { continue }
            try choose(option, from: &free, "with a memory BAR of at least \(memory) bytes", machine) {
                $0.memoryBARs.contains { $0 >= memory }
            }
            if subjects.device == nil { subjects.device = address(of: option) }
        }
        if subjects.device == nil {
            subjects.device = options.compactMap(address).first ?? free.first?.address
        }
        let usesNIC = needs.contains { [.rdma, .regDmabufMR, .dmah].contains($0) }
        if usesNIC || options.contains(where: { if case .rdma = $0.kind { true } else { false } }) {
            try chooseNIC(options, machine)
        }
    }

    private func address(of option: OptionSchema) -> PCIAddress? {
        guard case .pci = option.kind, case .string(let text)? = values[option.name] else { return nil }
        return PCIAddress(text)
    }

    private mutating func choose(
        _ option: OptionSchema, from free: inout [PCIFunction], _ what: String, _ machine: Machine,
        _ fits: (PCIFunction) -> Bool
    ) throws(SkipReason) {
        guard values[option.name] == .string("auto") else { return }
        guard let index = free.firstIndex(where: fits) else {
            let advice = machine.advice(fits)
            throw SkipReason(
                reason: "\(option.name): no free device bound to a VFIO driver \(what)"
                    + (advice.isEmpty ? "" : ": \(advice)"))
        }
        values[option.name] = .string("\(free.remove(at: index).address)")
    }

    private mutating func chooseNIC(_ options: [OptionSchema], _ machine: Machine) throws(SkipReason) {
        let (names, lacking) = machine.nics()
        subjects.nic = names.first
        for option in options {
            guard case .rdma = option.kind else { continue }
            if values[option.name] == .string("auto") {
                guard let nic = names.first else { throw SkipReason(reason: "\(option.name): \(lacking)") }
                values[option.name] = .string(nic)
            }
            if case .string(let name)? = values[option.name] { subjects.nic = name }
        }
    }
}
