import Glibc
public import LuaKit

/// Permissions that a user grants to the scripts of a run.
public struct Grants: Sendable, Equatable {
    /// Effects; nil for all.
    public var effects: Set<Effect>?
    /// PCI addresses and names of RDMA devices, which may also be opened; nil for all.
    public var devices: Set<String>?
    /// Effects that are refused even where granted.
    public var denied: Set<Effect> = []
    /// Paths; files at and below them may be opened. nil for all.
    public var paths: [String]?
    /// Whether scripts of unknown origin may run.
    public var trusts = true

    /// Grants these effects and devices.
    public init(effects: Set<Effect>? = nil, devices: Set<String>? = nil) {
        self.effects = effects
        self.devices = devices
    }

    /// Whether an effect is granted, and not denied.
    public func allows(_ effect: Effect) -> Bool { has(effect) && !denied.contains(effect) }

    func has(_ effect: Effect) -> Bool {
        guard let effects else { return true }
        return effects.contains(effect) || effect == .open && devices?.isEmpty == false
    }
}

/// A kind of device that is granted by a name of its own, with the word that stands for that name.
public enum GrantedDevice: String, Sendable, CaseIterable {
    /// A PCI function, by its address.
    case function = "ADDRESS"
    /// An RDMA device, by its name.
    case nic = "NIC"

    /// What these functions open; nothing by those that open what has no such name, as iommufd and containers.
    public static func opened(by functions: [String]) -> Set<GrantedDevice> {
        var opened: Set<GrantedDevice> = []
        if functions.contains("vfio.open") { opened.insert(.function) }
        if functions.contains("rdma.open") { opened.insert(.nic) }
        return opened
    }
}

/// The permissions of a script: what is granted and, where the scenario declares its effects, also declared.
public final class Permissions {
    /// The user's grants.
    public private(set) var grants: Grants
    /// Effects that the scenario declares; nil where it declares none, which restricts nothing.
    public private(set) var declared: Set<Effect>?
    /// Effects used so far, each with the functions that had it, without repetitions.
    public private(set) var used: [Effect: [String]] = [:]
    /// Whether ``used`` needs every function of an effect; otherwise the first is enough.
    private let keepsFunctions: Bool
    /// Whether undeclared effects are refused.
    private let isHeld: Bool
    /// Asks the user for a further grant; nil where there is no user to ask.
    private let ask: ((String) -> Bool)?

    /// Permissions of one Lua state.
    public init(
        _ grants: Grants = Grants(), keepsFunctions: Bool = false, isHeld: Bool = true, ask: ((String) -> Bool)? = nil
    ) {
        self.grants = grants
        self.keepsFunctions = keepsFunctions
        self.isHeld = isHeld
        self.ask = ask
    }

    private func refusal(_ operation: String, _ what: String) -> ErrorValue {
        var error = ErrorValue(kind: .permission, "\(operation): \(what)")
        error.operation = operation
        return error
    }

    /// Call before a function has an effect; throws where that is refused. True where later calls need not ask again.
    public func permit(_ effect: Effect, _ function: String) throws(ErrorValue) -> Bool {
        if let declared, !declared.contains(effect) {
            throw refusal(
                function,
                "'\(effect.rawValue)' is not declared: the scenario's table needs effects = \(Permissions.list(declared.union([effect])))"
            )
        }
        guard !grants.denied.contains(effect) else {
            throw refusal(function, "'\(effect.rawValue)' is denied (--deny \(effect.rawValue))")
        }
        if !grants.has(effect) {
            guard ask?("\(function): \(effect.rawValue)") == true else {
                throw refusal(
                    function,
                    "'\(effect.rawValue)' is not granted on this machine; add "
                        + (GrantedDevice.opened(by: [function]).isEmpty
                            ? "--allow \(effect.rawValue)"
                            : Permissions.options([effect], opening: GrantedDevice.opened(by: [function]))))
            }
            grants.effects?.insert(effect)
        }
        if used[effect]?.contains(function) != true { used[effect, default: []].append(function) }
        return !keepsFunctions
    }

    /// Call before a device is used, with its address or name; throws where that is refused.
    public func permit(device: String, _ function: String) throws(ErrorValue) {
        guard !allows(device: device) else { return }
        guard ask?("\(function): device \(device)") == true else {
            throw refusal(function, "device \(device) is not granted on this machine; add --allow device=\(device)")
        }
        grants.devices?.insert(device)
    }

    /// Grants a device about which another part of the program has asked the user.
    public func grant(device: String) { grants.devices?.insert(device) }

    /// Whether a device may be used without asking.
    public func allows(device: String) -> Bool { grants.devices?.contains(device) ?? true }

    /// Call before a file is opened by path; throws where that is refused.
    func permit(path: String, _ function: String) throws(ErrorValue) {
        guard let paths = grants.paths else { return }
        let resolved = realpath(path, nil).map { pointer in
            defer { free(pointer) }
            return String(cString: pointer)
        }
        // A path that does not resolve goes to the kernel, which gives the error.
        guard let resolved else { return }
        // Of this process's own /proc files, only these: not the environment, nor the memory.
        let own = ["status", "limits", "fdinfo"].map { "/proc/\(getpid())/\($0)" }
        guard !(paths + own).contains(where: { resolved == $0 || resolved.hasPrefix($0 + "/") }) else { return }
        throw refusal(
            function,
            "\(path) is not one of the files that scripts have on this machine: granted devices, their own folder, /sys"
        )
    }

    /// Sets the effects that the scenario declares, known once its file has run; checks what the file has used until
    /// then too. Asks for missing grants now, so that nothing is opened before all are given. `devices`: what it opens, as
    /// far as it is known.
    public func declare(
        _ effects: Set<Effect>?, of scenario: String, opening devices: Set<GrantedDevice> = []
    ) throws(ErrorValue) {
        guard isHeld, let effects else { return }
        declared = effects
        if let early = used.keys.sorted().first(where: { !effects.contains($0) }) {
            throw refusal(
                used[early]?.first ?? scenario,
                "'\(early.rawValue)' is not declared: the scenario's table needs effects = \(Permissions.list(effects.union([early])))"
            )
        }
        let missing = effects.filter { !grants.has($0) }.sorted()
        let refused = missing.filter { ask?("\(scenario): \($0.rawValue)") != true }
        guard refused.isEmpty else {
            throw ErrorValue(
                kind: .permission,
                "\(scenario) changes more than is granted on this machine; add "
                    + Permissions.options(refused, opening: devices))
        }
        grants.effects?.formUnion(missing)
    }

    /// The command-line options that grant effects: `open` by the devices that are opened, where they are not known by an
    /// address.
    public static func options(_ effects: [Effect], opening devices: Set<GrantedDevice>) -> String {
        let kinds = GrantedDevice.allCases.filter { devices.contains($0) || devices.isEmpty && $0 == .function }
        return effects.flatMap { effect in
            effect == .open
                ? kinds.map { "--allow device=\($0.rawValue)" } : ["--allow \(effect.rawValue)"]
        }.joined(separator: " ")
    }

    /// Effects, written as in a scenario's table.
    public static func list(_ effects: Set<Effect>) -> String {
        effects.isEmpty ? "{}" : "{ " + effects.sorted().map { "\"\($0.rawValue)\"" }.joined(separator: ", ") + " }"
    }
}
