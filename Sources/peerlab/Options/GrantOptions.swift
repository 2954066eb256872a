import ArgumentParser
import Bindings
import Commands
import Devices
import Glibc
import Kernel
import LuaKit
import Runner

/// Effects and devices that scripts may use on this machine. On the simulated bench and in the lab's guest nothing
/// needs a grant.
struct GrantOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Let scripts use a device of this machine (device=0000:01:00.0, device=mlx5_0), or change something: open, \
            region_write, config_write, reset, dma, raw; or all.
            """, valueName: "GRANT"))
    var allow: [String] = []

    @Option(help: ArgumentHelp("Refuse an effect on any bench, whatever is allowed.", valueName: "EFFECT"))
    var deny: [String] = []

    @Option(
        help: ArgumentHelp(
            "Take grants from FILE: lines such as 'allow reset' and 'deny raw'.", valueName: "FILE"))
    var rules: String?

    @Flag(help: "Let scripts that came from elsewhere, in a bundle, use this machine's devices.")
    var trust = false

    /// The grants on a kind of bench. "host": what is allowed. "lab": the same where anything is allowed, else
    /// everything. Simulated: everything.
    func grants(on kind: String) throws -> Grants {
        // Fast path of most runs.
        if kind != "host", allow.isEmpty, deny.isEmpty, rules == nil { return Grants() }
        var effects: Set<Effect> = []
        var devices: Set<String> = []
        var denied: Set<Effect> = []
        var isAll = false
        for (word, value) in try words() {
            if word == "deny" {
                denied.insert(try GrantOptions.effect(value, "deny"))
            } else if value == "all" {
                isAll = true
            } else if value.hasPrefix("device=") {
                let name = String(value.dropFirst(7))
                guard !name.isEmpty else { throw ValidationError("--allow device= names no device") }
                guard name != "auto" else {
                    throw ValidationError(
                        "--allow device=auto names no device: a grant is for one, by its PCI address or, of an RDMA device, its "
                            + "name (device=0000:01:00.0, device=mlx5_0)")
                }
                devices.insert(GrantOptions.canonical(name))
            } else {
                effects.insert(try GrantOptions.effect(value, "allow"))
            }
        }
        let isLab = kind == "lab"
        let isOpen = kind != "host" && !(isLab && !(effects.isEmpty && devices.isEmpty))
        let all = isOpen || isAll
        // All devices of the guest exist for this run only.
        var grants = Grants(
            effects: all ? nil : effects, devices: all || isLab && devices.isEmpty ? nil : devices)
        grants.denied = denied
        grants.trusts = kind != "host" || trust
        return grants
    }

    /// Asks on a terminal. The question says that marked lines are the script's, as they may look like a question.
    static func question(on terminal: Terminal) -> (String) -> Bool {
        { what in
            terminal.agrees(
                to: "peerlab asks (lines above that begin with '|' are the script's): allow on this machine? \(what)")
        }
    }

    /// Grants and refusals of options and rules: "allow" or "deny", and the effect or device.
    func words() throws -> [(word: String, value: String)] {
        var words = allow.map { (word: "allow", value: $0) } + deny.map { (word: "deny", value: $0) }
        guard let rules else { return words }
        let text: String
        do throws(Failure) {
            text = try InputFile.text(of: rules, limit: InputFile.Limit.rules, mayBeStream: true)
        } catch {
            throw ValidationError("--rules: cannot read \(rules): \(error.message)")
        }
        let lines = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
        for (index, line) in lines.enumerated() {
            let parts = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace).map(String.init)
            guard !parts.isEmpty else { continue }
            guard parts.count == 2, ["allow", "deny"].contains(parts[0]) else {
                throw ValidationError("\(rules):\(index + 1): a line is 'allow GRANT' or 'deny EFFECT'")
            }
            words.append((parts[0], parts[1]))
        }
        return words
    }

    private static func effect(_ name: String, _ option: String) throws -> Effect {
        if let effect = Effect(rawValue: name) { return effect }
        let known = Effect.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError(
            "--\(option) takes \(option == "allow" ? "device=ADDRESS, all, or an effect" : "an effect") (\(known)), not '\(name)'"
        )
    }

    /// PCI addresses in the kernel's notation; names unchanged.
    private static func canonical(_ name: String) -> String { PCIAddress(name).map { "\($0)" } ?? name }
}
