import Devices
import Glibc
import Kernel
import Testing

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
