import Devices
import Glibc
import Kernel
import Testing

@Suite struct TPHEncodingTests {
    struct Golden: Sendable, CustomTestStringConvertible {
        var abis: [String]
        var hint: TPHHint?
        var hex: String
        var testDescription: String { abis.joined(separator: ",") + (hint == nil ? " clear" : "") }
    }

    private static let st = SteeringTag(rawValue: 0xa5)
    private static let stExt = ExtendedSteeringTag(rawValue: 0xbeef)

    /// Header and data of a SET of feature 13 (0xd) for descriptor 40 (0x28).
    static let golden: [Golden] = [
        Golden(
            abis: ["v2"], hint: TPHHint(st: st, ph: .targetPriority),
            hex: "10000000 0d000200"  // argsz 16, flags SET|13
                + "28000000 a500 03 00"),  // dmabuf_fd, steering_tag, ph, reserved
        Golden(
            abis: ["v3"], hint: TPHHint(st: st, stExt: stExt, ph: .target),
            hex: "18000000 0d000200"  // argsz 24, flags SET|13
                + "28000000 03000000"  // dmabuf_fd, flags ST|ST_EXT
                + "a500 efbe 02 000000"),  // steering_tag, steering_tag_ext, ph, reserved
        Golden(
            abis: ["v4", "v5"], hint: TPHHint(st: st, stExt: stExt, ph: .requester),
            hex: "14000000 0d000200"  // argsz 20, flags SET|13
                + "28000000 03000000"  // dmabuf_fd, flags ST|ST_EXT
                + "a5 01 efbe"),  // steering_tag, ph, steering_tag_ext
        Golden(
            abis: ["v4", "v5"], hint: TPHHint(stExt: stExt, ph: .target),
            hex: "14000000 0d000200"  // argsz 20, flags SET|13
                + "28000000 02000000"  // dmabuf_fd, flags ST_EXT
                + "00 02 efbe"),  // steering_tag, ph, steering_tag_ext
        Golden(
            abis: ["v6", "v7", "v8", "v9", "v10", "v11"], hint: TPHHint(st: st, stExt: stExt, ph: .requester),
            hex: "14000000 0d000200"  // argsz 20, flags SET|13
                + "28000000 03000000"  // dmabuf_fd, flags ST|ST_EXT
                + "efbe a5 01"),  // steering_tag_ext, steering_tag, ph
        Golden(
            abis: ["v6", "v7", "v8", "v9", "v10", "v11"], hint: TPHHint(st: st, ph: .bidirectional),
            hex: "14000000 0d000200"  // argsz 20, flags SET|13
                + "28000000 01000000"  // dmabuf_fd, flags ST
                + "0000 a5 00"),  // steering_tag_ext, steering_tag, ph
        Golden(
            abis: ["v6", "v7", "v8", "v9", "v10", "v11"], hint: nil,
            hex: "14000000 0d000200"  // argsz 20, flags SET|13
                + "28000000 00000000"  // dmabuf_fd, no flags: clear
                + "0000 00 00"),  // steering_tag_ext, steering_tag, ph
    ]

    @Test(arguments: golden) func goldenBytes(_ golden: Golden) throws {
        let digits = Array(golden.hex.filter { $0 != " " })
        let bytes = stride(from: 0, to: digits.count, by: 2).compactMap {
            UInt8(String(digits[$0..<$0 + 2]), radix: 16)
        }
        for name in golden.abis {
            let abi = try #require(TPHABI.named(name))
            let kernel = TPHKernel([13: .foreignSet])
            try setTPH(
                golden.hint, dmabuf: 40, device: TPHKernel.device, feature: TPHFeature(abi: abi, number: 13, how: ""),
                object: "test", kernel: kernel)
            #expect(kernel.requests == [bytes], "\(name)")
            #expect(try abi.encode(descriptor: 40, hint: golden.hint) == Array(bytes[8...]), "\(name)")
        }
    }

    @Test func everyRevisionIsCovered() {
        #expect(Set(Self.golden.flatMap(\.abis)) == Set(TPHABI.all.map(\.name)))
    }

    @Test func negativeDescriptor() throws {
        for abi in TPHABI.all {
            let bytes = try abi.encode(descriptor: -1, hint: TPHHint(st: Self.st, ph: .requester))
            #expect(Array(bytes[..<4]) == [0xff, 0xff, 0xff, 0xff])
            #expect(bytes.count == abi.size)
        }
    }

    // MARK: Refusals

    @Test func extendedTagOnV2() throws {
        let abi = try #require(TPHABI.named("v2"))
        for hint in [TPHHint(stExt: Self.stExt, ph: .target), TPHHint(st: Self.st, stExt: Self.stExt, ph: .target)] {
            let error = #expect(throws: TPHABIError.self) { try abi.encode(descriptor: 3, hint: hint) }
            #expect(error == .extendedTag(abi))
            #expect(
                error?.message == "TPH ABI v2 has one tag and no namespaces: it carries st, not st_ext (a 16-bit tag)")
        }
    }

    @Test(arguments: TPHABI.all) func noTag(_ abi: TPHABI) {
        let error = #expect(throws: TPHABIError.self) { try abi.encode(descriptor: 3, hint: TPHHint(ph: .target)) }
        #expect(error == .noTag(abi))
        #expect(error?.message.hasPrefix("TPH ABI \(abi.name) needs st (8-bit tag)") == true)
        #expect(error?.message.contains("st_ext") == (abi.name != "v2"))
    }

    @Test(arguments: ["v2", "v3", "v4", "v5"]) func cannotClear(_ name: String) throws {
        let abi = try #require(TPHABI.named(name))
        let error = #expect(throws: TPHABIError.self) { try abi.encode(descriptor: 3, hint: nil) }
        #expect(error == .cannotClear(abi))
        #expect(
            error?.message == "TPH ABI \(name) cannot clear a hint; close the dma-buf and export it again")
    }

    // MARK: The table

    @Test func table() {
        func names(_ test: (TPHABI) -> Bool) -> [String] { TPHABI.all.filter(test).map(\.name) }
        #expect(TPHABI.all.map(\.size) == [8, 16, 12, 12, 12, 12, 12, 12, 12, 12])
        #expect(names { !$0.carriesExtendedTag } == ["v2"])
        #expect(names { !$0.kernelChecksHint } == ["v2"])
        #expect(names { !$0.zeroFlagsClear } == ["v2", "v3", "v4", "v5"])
        #expect(names(\.writeOnce) == ["v4"])
        #expect(names { ($0.stFlag, $0.stExtFlag) == (1, 2) } == names { $0.name != "v2" })
        #expect(names { ($0.stFlag, $0.stExtFlag) == (0, 0) } == ["v2"])
        #expect(names { $0.hardwareCheck == .none } == ["v2", "v3", "v4", "v5"])
        #expect(names { $0.hardwareCheck == .requesterFirst } == ["v6"])
        #expect(names { $0.hardwareCheck == .completerAfterValues } == ["v7"])
        #expect(names { $0.hardwareCheck == .unknown } == ["v8"])
        #expect(names { $0.hardwareCheck == .completerFirst } == ["v9", "v10", "v11"])
    }

    @Test func hintNames() {
        #expect(
            ProcessingHint.allCases.map(\.name) == ["bidirectional", "requester", "target", "target-priority"])
        #expect(ProcessingHint.allCases.map(\.rawValue) == [0, 1, 2, 3])
        #expect(ProcessingHint(name: "target-priority") == .targetPriority)
        #expect(ProcessingHint(name: "targetPriority") == nil)
    }
}

@Suite struct TPHSetTests {
    static let kernels: [(String, TPHKernel.Revision)] = [
        ("v2", .v2), ("v3", .v3), ("v4", .v4), ("v5", .v5), ("v6", .v6), ("v7", .v7), ("v8", .v7), ("v9", .v9),
        ("v10", .v9), ("v11", .v9),
    ]

    private func feature(_ name: String) throws -> TPHFeature {
        TPHFeature(abi: try #require(TPHABI.named(name)), number: 17, how: "")
    }

    private func set(_ hint: TPHHint?, _ name: String, _ kernel: TPHKernel, dmabuf: Int32 = 40) throws {
        try setTPH(
            hint, dmabuf: dmabuf, device: TPHKernel.device, feature: try feature(name), object: "0000:3b:00.0 dma-buf",
            kernel: kernel)
    }

    @Test(arguments: kernels) func kernelStoresWhatWasMeant(_ name: String, _ revision: TPHKernel.Revision) throws {
        let kernel = TPHKernel([17: .tph(revision)])
        let extended = name == "v2" ? nil : ExtendedSteeringTag(rawValue: 0x1234)
        let hint = TPHHint(st: SteeringTag(rawValue: 0x56), stExt: extended, ph: .target)
        try set(hint, name, kernel)
        #expect(kernel.hints == [40: TPHKernel.Hint(st: 0x56, stExt: extended?.rawValue, ph: 2)])
        guard revision.zeroClears else { return }
        try set(nil, name, kernel)
        #expect(kernel.hints.isEmpty)
    }

    @Test func interruptedSetIsRepeated() throws {
        let kernel = TPHKernel([17: .tph(.v9)])
        kernel.interrupts = 3
        try set(TPHHint(st: SteeringTag(rawValue: 1), ph: .target), "v9", kernel)
        #expect(kernel.calls.count == 4)
        #expect(kernel.hints[40]?.st == 1)
    }

    @Test func refusalBeforeTheCall() {
        let kernel = TPHKernel([17: .tph(.v5)])
        let error = #expect(throws: TPHError.self) { try set(nil, "v5", kernel) }
        #expect(error?.message == "TPH ABI v5 cannot clear a hint; close the dma-buf and export it again")
        #expect(kernel.calls.isEmpty)
    }

    @Test func kernelsRefusal() throws {
        let kernel = TPHKernel([17: .tph(.v4)])
        let hint = TPHHint(st: SteeringTag(rawValue: 0x12), stExt: ExtendedSteeringTag(rawValue: 0x12), ph: .target)
        try set(hint, "v4", kernel)
        let error = #expect(throws: TPHError.self) { try set(hint, "v4", kernel) }
        guard case .kernel(let failure) = error else {
            Issue.record("not the kernel's answer")
            return
        }
        #expect(failure.operation == "VFIO_DEVICE_FEATURE DMA_BUF_TPH SET")
        #expect(failure.errno == Errno(EBUSY))
        #expect(failure.object == "0000:3b:00.0 dma-buf")
        #expect(failure.hint?.contains("one tag per dma-buf") == true)
        #expect(
            failure.request == "{argsz=20, feature=DMA_BUF_TPH, operation=SET, dmabuf_fd=40, flags=ST|ST_EXT, "
                + "steering_tag=0x12, ph=target, steering_tag_ext=0x12}")
    }

    @Test func closedDescriptor() {
        let kernel = TPHKernel([17: .tph(.v2)])
        let hint = TPHHint(st: SteeringTag(rawValue: 0x12), ph: .requester)
        let error = #expect(throws: TPHError.self) { try set(hint, "v2", kernel, dmabuf: 99) }
        guard case .kernel(let failure) = error else {
            Issue.record("not the kernel's answer")
            return
        }
        #expect(failure.errno == Errno(EBADF))
        #expect(
            failure.request
                == "{argsz=16, feature=DMA_BUF_TPH, operation=SET, dmabuf_fd=99, steering_tag=0x12, ph=requester}")
    }
}
