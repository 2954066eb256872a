import Glibc
public import LuaKit

/// What a user grants to the scripts of a run.
public struct Grants: Sendable, Equatable {
    /// Effects; nil for all.
    public var effects: Set<Effect>?
    /// Devices: PCI addresses, and names of RDMA devices; nil for all. One that is granted may be opened.
    public var devices: Set<String>?
    /// What is refused whatever is granted.
    public var denied: Set<Effect> = []
    /// Below which paths files may be opened; nil for all.
    public var paths: [String]?
    /// Whether scripts may run that came from elsewhere.
    public var trusts = true

    /// Grants of these effects and devices.
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

/// What a script may change: what is granted, of that what it declares.
public final class Permissions {
    /// What is granted.
    public private(set) var grants: Grants
    /// What the scenario declares; nil where it declares nothing, and so is held to nothing.
    public private(set) var declared: Set<Effect>?
    /// What was changed, and the functions that did it, each once.
    public private(set) var used: [Effect: [String]] = [:]
    /// Whether each function that changes something is wanted in ``used``, not only the first of an effect.
    private let keepsFunctions: Bool
    /// Whether what is not declared is refused.
    private let isHeld: Bool
    /// Asks a user whether that is granted too; nil where nobody is there to ask.
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

    /// Before a function has an effect. Whether it need not be asked for again.
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
                        + (Permissions.opensDevice(function)
                            ? Permissions.option(effect) : "--allow \(effect.rawValue)"))
            }
            grants.effects?.insert(effect)
        }
        if used[effect]?.contains(function) != true { used[effect, default: []].append(function) }
        return !keepsFunctions
    }

    /// Before a device is used, by its address or name.
    public func permit(device: String, _ function: String) throws(ErrorValue) {
        guard !allows(device: device) else { return }
        guard ask?("\(function): device \(device)") == true else {
            throw refusal(function, "device \(device) is not granted on this machine; add --allow device=\(device)")
        }
        grants.devices?.insert(device)
    }

    /// A device that somebody else has asked about.
    public func grant(device: String) { grants.devices?.insert(device) }

    /// Whether a device may be used without asking.
    public func allows(device: String) -> Bool { grants.devices?.contains(device) ?? true }

    /// Before a file is opened by path.
    func permit(path: String, _ function: String) throws(ErrorValue) {
        guard let paths = grants.paths else { return }
        let resolved = realpath(path, nil).map { pointer in
            defer { free(pointer) }
            return String(cString: pointer)
        }
        // The kernel says what is wrong with one that is not there.
        guard let resolved else { return }
        // Of its own process not the environment, nor the memory.
        let own = ["status", "limits", "fdinfo"].map { "/proc/\(getpid())/\($0)" }
        guard !(paths + own).contains(where: { resolved == $0 || resolved.hasPrefix($0 + "/") }) else { return }
        throw refusal(
            function,
            "\(path) is not one of the files that scripts have on this machine: granted devices, their own folder, /sys"
        )
    }

    /// What the scenario declares, known once its file has run: what the file has done until then counts too. Asks for what
    /// is not granted, so that nothing is opened before all is.
    public func declare(_ effects: Set<Effect>?, of scenario: String) throws(ErrorValue) {
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
                    + refused.map(Permissions.option).joined(
                        separator: " "))
        }
        grants.effects?.formUnion(missing)
    }

    /// Whether what a function opens is a device with an address of its own; iommufd and containers have none.
    private static func opensDevice(_ function: String) -> Bool { ["vfio.open", "rdma.open"].contains(function) }

    /// What grants an effect on the command line.
    public static func option(_ effect: Effect) -> String {
        effect == .open ? "--allow device=ADDRESS" : "--allow \(effect.rawValue)"
    }

    /// As a scenario's table has it.
    public static func list(_ effects: Set<Effect>) -> String {
        effects.isEmpty ? "{}" : "{ " + effects.sorted().map { "\"\($0.rawValue)\"" }.joined(separator: ", ") + " }"
    }
}
