import ConnectX
import LabBench
import VFIOUser

/// The simulated bench that models a lab, by its name: stdlib/benches/lab_machine.lua reads it. Parts come in its order, each only
/// where it is not what a lab has without.
extension LabOptions {
    /// What `--bench` calls it. Capabilities of the NIC that no bench models are left out.
    var model: String {
        var parts = ["sim:lab"]
        if let exporter { parts += ["exporter"] + LabOptions.parts(ofExporter: exporter) }
        if importer { parts.append("importer") }
        if let nic { parts += ["connectx"] + LabOptions.parts(ofNIC: nic) }
        if let machine, machine != usualMachine { parts.append(machine.rawValue) }
        if let tph { parts += ["tph", tph.split(separator: "@").joined(separator: "-at-")] }
        return parts.joined(separator: "-")
    }

    /// What is between the devices where `--lab-machine` says nothing: a kernel driver maps peer memory only where it knows a
    /// route.
    var usualMachine: LabMachine.Fabric { importer || nic != nil ? .bridge : .noRoute }

    /// What is refused elsewhere has no parts.
    private static func parts(ofExporter text: String) -> [String] {
        guard let description = try? Exporter.Description(text) else { return [] }
        let usual = Exporter.Description()
        let completer =
            switch description.completer {
            case .none: "none"
            case .tph: "tph"
            case .extended: "extended"
            }
        var parts = [completer]
        if description.size != usual.size { parts += ["size", LabOptions.text(ofSize: description.size)] }
        if description.vectors != usual.vectors { parts += ["vectors", "\(description.vectors)"] }
        if !description.functionLevelReset { parts += ["flr", "off"] }
        if !description.keepsStateInD3 { parts += ["d3", "reset"] }
        return parts
    }

    /// "64M", of a power of two.
    private static func text(ofSize size: UInt64) -> String {
        let unit = min(size.trailingZeroBitCount / 10, 4)
        return "\(size >> UInt64(10 * unit))" + ["", "K", "M", "G", "T"][unit]
    }

    private static func parts(ofNIC text: String) -> [String] {
        guard let options = try? LabNIC(text).options else { return [] }
        let usual = HCAOptions()
        var parts: [String] = []
        if options.tph == .none {
            parts += ["tph", "none"]
        } else if !options.hasExtendedTPH {
            parts += ["tph", "tph"]
        }
        switch options.tph {
        case .table(let entries): if options.tph != usual.tph { parts += ["table", "\(entries)"] }
        case .vectors: parts += ["table", "msix"]
        case .direct: parts += ["table", "none"]
        case .none: break
        }
        if !options.hasOnDemandPaging { parts += ["odp", "off"] }
        if options.vectorCount != usual.vectorCount { parts += ["vectors", "\(options.vectorCount)"] }
        if options.lid != usual.lid { parts += ["lid", "\(options.lid)"] }
        return parts
    }
}
