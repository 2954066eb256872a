import ArgumentParser
import Devices
import Glibc
import Kernel
import LabBench
import LiveKernel
import LuaKit
import Records
import Runner
import SimKernel

/// The bench that `--bench` names.
enum BenchChoice {
    case sim(String)
    case lab
    case host

    init(_ text: String) throws {
        switch text {
        case "sim": self = .sim("standard")
        case "lab": self = .lab
        case "host": self = .host
        default:
            guard text.hasPrefix("sim:"), text.count > 4 else {
                let isModel = ShippedBench.isOne(text, Library(stdlib: ShippedFolders.stdlib(extra: [])))
                throw ValidationError(
                    "no bench '\(text)'\(isModel ? "; did you mean 'sim:\(text)'?" : ":") sim, sim:NAME, sim:FILE, lab or host "
                        + "(peerlab list benches shows the names)")
            }
            self = .sim(String(text.dropFirst(4)))
        }
    }
}

enum SimBench {
    /// A bench by the name of one that comes with peerlab, or by a path; `tph` applies to scenarios.
    static func make(_ name: String, tph: TPHChoice = .auto, library: Library) throws -> Bench {
        do throws(ErrorValue) { return make(try TopologyFile.load(name, library), tph: tph) } catch {
            throw ValidationError(error.line)
        }
    }

    /// The name of a bench in a file of unknown origin: only a bench that comes with peerlab, never a path, which would
    /// load a file of this machine.
    static func shipped(_ text: String, in file: String) throws -> String {
        if text == "sim" { return "standard" }
        let name = text.dropFirst(4)
        guard text.hasPrefix("sim:"), !name.isEmpty, name.utf8.count <= TopologyFile.longestName,
            name.utf8.allSatisfy({ isalnum(Int32($0)) != 0 || $0 == 0x2d || $0 == 0x5f })
        else {
            throw ValidationError(
                "\(file) names the bench '\(text.prefix(80))': a file may name sim, or sim:NAME of a bench that comes with "
                    + "peerlab; another one is yours to name, with --bench")
        }
        return String(name)
    }

    /// The bench that models the machine on which a record was made.
    static func make(for record: Record, tph: TPHChoice = .auto, library: Library) throws -> Bench {
        let topology: Topology?
        if let model = record["model"] {
            let name = try shipped(model, in: "the record")
            do throws(ErrorValue) { topology = try self.topology(of: name, record, library) } catch {
                throw ValidationError(error.line)
            }
        } else {
            do throws(ErrorValue) { topology = try RecordedTopology.topology(of: record) } catch {
                throw ValidationError(error.line)
            }
        }
        guard let topology else { return try make("standard", tph: tph, library: library) }
        return make(topology, tph: tph)
    }

    /// A shipped bench. Where it has no DMA_BUF_TPH, it gets the revision in the record: the user's own kernel may have
    /// had the series, which the lab's options do not show.
    private static func topology(of name: String, _ record: Record, _ library: Library) throws(ErrorValue) -> Topology {
        var topology = try TopologyFile.load(name, library)
        if topology.tph == nil, let (number, revision) = RecordedTopology.hints(record) {
            topology.tph = TPHRevision(rawValue: revision)
            topology.tphFeature = number
        }
        return topology
    }

    private static func make(_ topology: Topology, tph: TPHChoice) -> Bench {
        let kernel = topology.tph.map { "TPH \($0.rawValue) at feature \(topology.tphFeature)" } ?? "no TPH"
        return Bench(
            kind: "sim", description: "\(topology.name): \(topology.kernelText), \(kernel)",
            isSimulated: true, tph: tph, makeKernel: { SimKernel(topology) })
    }

    /// The bench, with requests on its links passed to `emit`, one a line. For kernels that are not models nothing is
    /// passed.
    static func showingTLPs(of bench: Bench, emit: @escaping @Sendable (String) -> Void) -> Bench {
        var bench = bench
        let makeKernel = bench.makeKernel
        bench.makeKernel = {
            let kernel = makeKernel()
            (kernel as? SimKernel)?.tlpSink = { for line in $0.lines { emit(line) } }
            return kernel
        }
        return bench
    }
}

enum HostBench {
    /// This machine. `insideLab`: the name that the lab bench has in its guest; `capture` records requests on links
    /// there.
    static func make(tph: TPHChoice = .auto, insideLab: String?, capture: GuestCapture? = nil) -> Bench {
        var names = utsname()
        uname(&names)
        let release = withUnsafeBytes(of: names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let description = insideLab.map { "kernel \(release) in \($0)" } ?? "this machine, kernel \(release)"
        var bench = Bench(
            kind: insideLab == nil ? "host" : "lab", description: description, isSimulated: false, tph: tph,
            machine: Machine.facts, makeKernel: { LiveKernel(capture: capture) })
        bench.labScripts = ShippedFolders.lab
        return bench
    }
}
