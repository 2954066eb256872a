import Devices
import Glibc
import Kernel
import Testing

let feature = "vfio_pci_core_feature_dma_buf_tph"

/// Identifies, and holds everything that was sent against the rules that keep a wrong guess harmless.
func identify(_ choice: TPHChoice, _ kernel: TPHKernel) -> TPHOutcome {
    let outcome = identifyTPH(choice, device: TPHKernel.device, object: "0000:3b:00.0", kernel: kernel)
    var probed: Set<UInt32> = []
    for call in kernel.calls {
        #expect(call.operation & 0x10000 == 0, "GET of \(call.number)")
        #expect(call.operation & 0x20000 != 0, "bare PROBE of \(call.number)")
        #expect(call.number > 12, "a number that is taken")
        #expect(Int(call.argsz) == 8 + call.data.count)
        if call.operation == 0x60000 {
            #expect(call.argsz == 8)
            #expect(call.number < 32 || kernel.calls.count == 1)
            probed.insert(call.number)
        } else {
            #expect(call.operation == 0x20000)
            #expect(probed.contains(call.number), "SET of \(call.number) before PROBE")
            #expect(call.corroborated, "SET of \(call.number) before kallsyms was read")
            #expect(String(decoding: kernel.files["/proc/kallsyms"] ?? [], as: UTF8.self).contains(" T \(feature)\t"))
            #expect(call.data.prefix(4) == [0xff, 0xff, 0xff, 0xff], "SET of a descriptor that may exist")
        }
    }
    #expect(kernel.open.isEmpty, "left open")
    #expect(kernel.hints.isEmpty, "something was set")
    return outcome
}

/// Sizes of the data of the real SETs.
func sets(_ kernel: TPHKernel) -> [Int] {
    kernel.calls.filter { $0.operation == 0x20000 }.map(\.data.count)
}

func refusal(_ outcome: TPHOutcome) -> String {
    if case .refused(let reason) = outcome { return reason }
    Issue.record("not refused: \(outcome)")
    return ""
}

func absence(_ outcome: TPHOutcome) -> String {
    if case .absent(let reason) = outcome { return reason }
    Issue.record("not absent: \(outcome)")
    return ""
}

func found(_ outcome: TPHOutcome) throws -> TPHFeature {
    guard case .available(let feature) = outcome else {
        Issue.record("not available: \(outcome)")
        throw Errno(ENOENT)
    }
    return feature
}

private let advice = "; if you know the revision and its number, give --tph-abi NAME@NUMBER"

@Suite struct TPHIdentificationTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var revision: TPHKernel.Revision
        var symbols: [String]
        var abi: String
        var how: String
        var sets: [Int]
        var testDescription: String { name }
    }

    static let cases: [Case] = [
        Case(name: "v2", revision: .v2, symbols: [], abi: "v2", how: "v2", sets: [8]),
        Case(
            name: "v3", revision: .v3, symbols: ["pcie_tph_get_st_width"], abi: "v3",
            how: "v3 (kallsyms has pcie_tph_get_st_width)", sets: [8, 12, 16]),
        Case(
            name: "v4", revision: .v4, symbols: ["pcie_tph_enabled_req_type"], abi: "v5",
            how: "v4 or v5: a second SET on a dma-buf may answer EBUSY (v4)", sets: [8, 12, 12, 12, 12, 12]),
        Case(
            name: "v5", revision: .v5, symbols: ["pcie_tph_enabled_req_type"], abi: "v5",
            how: "v4 or v5: a second SET on a dma-buf may answer EBUSY (v4)", sets: [8, 12, 12, 12, 12, 12]),
        Case(
            name: "v6", revision: .v6, symbols: ["pcie_tph_supported"], abi: "v6",
            how: "v6 (kallsyms has pcie_tph_supported)", sets: [8, 12, 12, 12, 12, 12]),
        Case(
            name: "v7", revision: .v7, symbols: ["pcie_tph_completer_type", "dma_buf_get_tph"], abi: "v7",
            how: "v7 (kallsyms has pcie_tph_completer_type, dma_buf_get_tph)", sets: [8, 12, 12, 12, 12, 12]),
        Case(
            name: "v9", revision: .v9, symbols: ["dma_buf_get_pci_tph"], abi: "v11",
            how: "v8 to v11 (kallsyms has dma_buf_get_pci_tph)", sets: [8, 12, 12, 12, 12, 12]),
        Case(
            name: "v11", revision: .v9, symbols: ["pcie_tph_completer_type", "dma_buf_get_pci_tph"], abi: "v11",
            how: "v8 to v11 (kallsyms has pcie_tph_completer_type, dma_buf_get_pci_tph)",
            sets: [8, 12, 12, 12, 12, 12]),
    ]

    @Test(arguments: cases, [13, 14, 31] as [UInt32]) func revisions(_ example: Case, _ number: UInt32) throws {
        let kernel = TPHKernel([number: .tph(example.revision)], symbols: [feature] + example.symbols)
        if number > 13 { kernel.features[13] = .getOnly }
        let result = try found(identify(.auto, kernel))
        #expect(result.abi.name == example.abi)
        #expect(result.number == number)
        #expect(result.how.hasPrefix("feature \(number) answers PROBE|SET, kallsyms has \(feature); SET of"))
        #expect(result.how.hasSuffix("; BTF was not readable or lacks the structure; " + example.how))
        #expect(sets(kernel) == example.sets)
    }

    @Test func stepsAreReported() throws {
        let kernel = TPHKernel([13: .tph(.v9)], symbols: [feature, "dma_buf_get_pci_tph"])
        let how = try found(identify(.auto, kernel)).how
        #expect(
            how.contains(
                "SET of descriptor -1: 8 bytes flags 1 EINVAL, 12 bytes flags 1 EBADF, 12 bytes flags 1 byte 11 4 "
                    + "EINVAL, 12 bytes flags 1 byte 9 4 EBADF, 12 bytes flags 0 EBADF, 12 bytes flags 4 EINVAL;"))
    }

    // MARK: Absent

    @Test func stock() {
        let kernel = TPHKernel([:], symbols: [])
        #expect(
            absence(identify(.auto, kernel))
                == "this kernel has no DMA_BUF_TPH: ENOTTY to PROBE|SET of features 13 to 31")
        #expect(kernel.calls.map(\.number) == Array(13...31))
        #expect(kernel.opened.isEmpty, "kallsyms is long; nothing asked for it")
    }

    @Test(arguments: [TPHKernel.Behaviour.getOnly, .errno(ENODEV)]) func stockOnS390(_ zpci: TPHKernel.Behaviour) {
        let kernel = TPHKernel([13: zpci], symbols: [])
        let reason = absence(identify(.auto, kernel))
        #expect(reason.contains("but PROBE|SET of feature 13 answered E"))
        #expect(sets(kernel).isEmpty)
    }

    @Test func off() {
        let kernel = TPHKernel([13: .tph(.v9)], symbols: [feature])
        #expect(absence(identify(.off, kernel)).contains("--tph-abi off"))
        #expect(kernel.calls.isEmpty)
    }

    // MARK: Refused

    @Test(arguments: [TPHKernel.Revision.v6, .v9]) func probeWithoutHardware(_ revision: TPHKernel.Revision) {
        let kernel = TPHKernel([13: .tph(revision)], symbols: [feature])
        kernel.hasHardware = false
        #expect(
            refusal(identify(.auto, kernel))
                == "likely DMA_BUF_TPH of v6 (0000:3b:00.0 has no TPH requester capability) "
                + "or of v9, v10, v11 (0000:3b:00.0 is no TPH completer, DevCap2 bits 13:12): PROBE|SET of feature 13 "
                + "answered EOPNOTSUPP" + advice)
        #expect(sets(kernel).isEmpty)
    }

    @Test func v7WithoutCompleter() {
        let kernel = TPHKernel([13: .tph(.v7)], symbols: [feature, "dma_buf_get_tph"])
        kernel.hasHardware = false
        #expect(
            refusal(identify(.auto, kernel)) == "feature 13 is DMA_BUF_TPH of v7 or v8, but 0000:3b:00.0 is no TPH "
                + "completer (DevCap2 bits 13:12): SET of descriptor -1: 8 bytes flags 1 EINVAL, 12 bytes flags 1 "
                + "EOPNOTSUPP")
        #expect(sets(kernel) == [8, 12])
    }

    @Test(arguments: [TPHKernel.Behaviour.foreignSet, .errno(EOPNOTSUPP)])
    func twoCandidates(_ second: TPHKernel.Behaviour) {
        let kernel = TPHKernel([13: .foreignSet, 14: second, 15: .tph(.v9)], symbols: [feature])
        let reason = refusal(identify(.auto, kernel))
        #expect(reason.hasPrefix("more than one feature may be DMA_BUF_TPH on 0000:3b:00.0: PROBE|SET of feature 13 "))
        #expect(reason.hasSuffix("PROBE|SET of feature 15 answered 0" + advice))
        #expect(sets(kernel).isEmpty)
    }

    /// TPH is there but lacks its hardware; the number that answers 0 is another feature.
    @Test func foreignFeatureBesideTPHWithoutHardware() {
        let kernel = TPHKernel([13: .tph(.v9), 14: .foreignSet], symbols: [feature])
        kernel.hasHardware = false
        #expect(refusal(identify(.auto, kernel)).hasPrefix("more than one feature"))
        #expect(sets(kernel).isEmpty)
    }

    @Test func foreignFeature() {
        let kernel = TPHKernel([13: .foreignSet], symbols: ["pcie_tph_supported"])
        #expect(
            refusal(identify(.auto, kernel)) == "feature 13 can be SET, but nothing says that it is DMA_BUF_TPH: "
                + "/proc/kallsyms lacks \(feature)" + advice)
        #expect(sets(kernel).isEmpty)
    }

    @Test func unreadableSymbols() {
        let kernel = TPHKernel([13: .tph(.v9)])
        #expect(
            refusal(identify(.auto, kernel))
                == "feature 13 can be SET, but whether it is DMA_BUF_TPH is unknown: /proc/kallsyms: ENOENT" + advice)
        #expect(sets(kernel).isEmpty)
    }

    /// The symbol is there, but the number is another feature's: the first answer that is not TPH's ends it.
    @Test func foreignFeatureWithSymbol() {
        let kernel = TPHKernel([13: .foreignSet], symbols: [feature])
        #expect(
            refusal(identify(.auto, kernel)) == "feature 13 does not answer as DMA_BUF_TPH does: SET of descriptor -1: "
                + "8 bytes flags 1 0" + advice)
        #expect(sets(kernel) == [8])
    }

    @Test func unknownStructures() {
        var revision = TPHKernel.Revision.v3
        revision.size = 20
        let larger = TPHKernel([13: .tph(revision)], symbols: [feature])
        #expect(refusal(identify(.auto, larger)).hasPrefix("feature 13 wants a larger structure than any"))
        #expect(sets(larger) == [8, 12, 16])
        revision = .v9
        revision.zeroClears = false
        let mixed = TPHKernel([13: .tph(revision)], symbols: [feature])
        #expect(refusal(identify(.auto, mixed)).hasPrefix("feature 13 takes 12 bytes, but no known layout: "))
        #expect(sets(mixed) == [8, 12, 12, 12, 12])
    }

    @Test func symbolsThatDoNotTell() {
        let silent = TPHKernel([13: .tph(.v9)], symbols: [feature])
        #expect(
            refusal(identify(.auto, silent)) == "feature 13 is DMA_BUF_TPH with 12 bytes, layout B, but nothing in "
                + "kallsyms tells which of v6, v7, v8, v9, v10, v11" + advice)
        let late = TPHKernel([13: .tph(.v9)], symbols: [feature, "pcie_tph_completer_type"])
        #expect(refusal(identify(.auto, late)).contains("tells which of v7, v8, v9, v10, v11 (kallsyms has pcie_"))
        let contrary = TPHKernel([13: .tph(.v5)], symbols: [feature, "dma_buf_get_pci_tph"])
        #expect(
            refusal(identify(.auto, contrary)).hasPrefix(
                "feature 13 takes 12 bytes, layout A, as no revision with these does (kallsyms has dma_buf_get_pci_tph)"
            ))
    }

    @Test func deviceThatIsNotReady() {
        let unbound = TPHKernel([13: .tph(.v9)], symbols: [feature])
        unbound.bound = false
        #expect(refusal(identify(.auto, unbound)).contains("as a device does that is not bound yet"))
        let asleep = TPHKernel([13: .errno(EIO)], symbols: [feature])
        #expect(
            refusal(identify(.auto, asleep))
                == "0000:3b:00.0 answered unexpectedly: PROBE|SET of feature 13 answered EIO" + advice)
        #expect(sets(unbound).isEmpty && sets(asleep).isEmpty)
    }
}
