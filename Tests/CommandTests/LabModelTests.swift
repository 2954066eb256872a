import ArgumentParser
import Kernel
import LabBench
import Runner
import SimKernel
import Testing

@testable import peerlab

/// The simulated benches that model labs: one name each, made of parts.
@Suite struct LabModelTests {
    private static let library = Library(stdlib: ShippedFolders.stdlib(extra: []))

    /// What can be asked of a lab, each option by itself: nil is without it.
    private static let exporters =
        [nil, "completer=none"] + ["tph", "extended"].map { "completer=\($0)" } + [
            "size=1M", "size=64M", "completer=extended,vectors=4,size=64M,flr=off,d3=reset",
        ]
    private static let nics = [
        nil, "connectx", "connectx,tph=none", "connectx,tph=tph,table=8", "connectx,table=none",
        "connectx,log_max_qp=10",
        "connectx,table=msix,vectors=64,odp=off,lid=49151",
    ]
    private static let revisions = [nil, "v2", "v6@14", "v7", "v11", "v11@65535"]

    private func topology(_ words: [String]) throws -> Topology {
        let model = try LabOptions.parse(words).model
        return try TopologyFile.load(try SimBench.shipped(model, in: "a record"), Self.library)
    }

    @Test(arguments: exporters, nics) func eachMachineOfTheLabHasItsModel(exporter: String?, nic: String?) throws {
        for fabric in [nil] + LabMachine.Fabric.allCases.map({ $0 }) {
            for revision in nic == nil ? Self.revisions : [nil] {
                for importer in [false, true] {
                    var words: [String] = []
                    if let exporter { words += ["--lab-exporter", exporter] }
                    if let nic { words += ["--lab-nic", nic] }
                    if let fabric { words += ["--lab-machine", fabric.rawValue] }
                    if let revision { words += ["--lab-tph", revision] }
                    if importer { words.append("--lab-importer") }
                    let model = try topology(words)
                    #expect("sim:\(model.name)" == (try LabOptions.parse(words).model))
                    #expect(model.nics.contains { $0.driver == .mlx5 } == (nic != nil), "\(words)")
                    #expect(model.devices.contains { $0.driver == "edu_importer" } == importer, "\(words)")
                    #expect((model.ports.count > 1) == (fabric == .belowSwitch), "\(words)")
                    #expect(
                        model.platform.isZen == ((fabric ?? (importer || nic != nil ? .bridge : .noRoute)) == .bridge))
                    let parts = revision?.split(separator: "@").map(String.init) ?? []
                    #expect(model.tph?.rawValue == parts.first)
                    if parts.count > 1 { #expect(model.tphFeature == UInt32(parts[1])) }
                }
            }
        }
    }

    @Test func whatADeviceIsLikeIsInItsModel() throws {
        let exporter = "completer=extended,vectors=4,size=64M,flr=off,d3=reset"
        let model = try topology([
            "--lab-exporter", exporter, "--lab-nic", "connectx,tph=tph,table=8,odp=off,vectors=64",
        ])
        let memory = try #require(model.devices.first)
        #expect(memory.bars.contains { $0.index == 2 && $0.size == 64 << 20 })
        #expect(memory.completer == .extended)
        let nic = try #require(model.nics.first { $0.driver == .mlx5 })
        #expect(nic.steeringTable == 8)
        #expect(nic.requester == .tph)
        #expect(!nic.odp)
        let usual = try topology(["--lab-nic", "connectx"])
        #expect(usual.nics.first { $0.driver == .mlx5 }?.steeringTable == 64)
    }

    /// Records and bundles have them.
    @Test(arguments: [
        "lab", "lab-connectx", "lab-connectx-tph-v2-at-14", "lab-exporter-extended",
        "lab-exporter-extended-importer-tph-v7",
        "lab-exporter-extended-tph-v11-at-14", "lab-exporter-none-tph-v9", "lab-exporter-tph",
        "lab-exporter-tph-tph-v11",
        "lab-importer", "lab-importer-below-switch", "lab-importer-no-route", "lab-importer-tph-v6-at-14", "lab-tph-v2",
    ])
    func aNameKeepsItsMeaning(name: String) throws {
        #expect(try TopologyFile.load(name, Self.library).name == name)
    }

    @Test(arguments: [
        "lab-", "lab-x", "lab-exporter", "lab-exporter-4", "lab-exporter-none-size", "lab-connectx-table-65", "lab-tph",
        "lab-tph-v2-at", "lab-tph-v99", "lab-importer-exporter-none", "lab-connectx-", "lab-\"..os.exit()..\"",
        "lab-exporter-none-size-3M", "lab-tph-v2-at-99999999999999999999", "lab-connectx-vectors-1",
    ])
    func whatNamesNoLabIsRefused(name: String) {
        #expect(throws: (any Error).self) { try TopologyFile.load(name, Self.library) }
    }
}
