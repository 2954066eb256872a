import ConnectX
import Kernel
import LabBench
import VFIOUser

/// The name of the simulated bench that models a lab, as stdlib/benches/lab_machine.lua parses it. Parts come in that
/// file's order, and only where they differ from the default lab.
extension LabOptions {
    /// The value for `--bench`. NIC capabilities that no bench models are left out.
    var model: String {
        var parts = ["sim:lab"]
        if let exporter { parts += ["exporter"] + LabOptions.parts(ofExporter: exporter) }
        if importer { parts.append("importer") }
        if let nic { parts += ["connectx"] + LabOptions.parts(ofNIC: nic) }
        if let machine, machine != usualMachine { parts.append(machine.rawValue) }
        if let tph { parts += ["tph", tph.split(separator: "@").joined(separator: "-at-")] }
        return parts.joined(separator: "-")
    }

    /// The default fabric between the devices. With a kernel driver as importer it has a route, as the driver maps peer
    /// memory only then.
    var usualMachine: LabMachine.Fabric { importer || nic != nil ? .bridge : .noRoute }

    /// Empty for an invalid text, which is refused elsewhere.
    private static func parts(ofExporter text: String) -> [String] {
        guard let description = try? Exporter.Description(text) else { return [] }
        let usual = Exporter.Description()
        var parts = [description.completer.rawValue]
        if description.size != usual.size { parts += ["size", LabOptions.text(ofSize: description.size)] }
        if description.vectors != usual.vectors { parts += ["vectors", "\(description.vectors)"] }
        if !description.functionLevelReset { parts += ["flr", "off"] }
        if !description.keepsStateInD3 { parts += ["d3", "reset"] }
        return parts
    }

    /// A power of two as "64M".
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
