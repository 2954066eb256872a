import CKernel
import Glibc
import SimKernel
import TestBench
import Testing

@testable import Kernel

/// RDMA registration: drivers/infiniband/core/uverbs_std_types_mr.c, drivers/infiniband/hw/mlx5/mr.c.
/// The answers: Sources/Documentation.docc/KernelBehaviour/KernelRDMA.md.
@Suite struct VerbsTests {
    let bench: Bench
    let device: Int32
    let buffer: Int32
    let context: UnsafeMutablePointer<ibv_context>
    let pd: UnsafeMutablePointer<ibv_pd>

    init() throws { try self.init(.standard) }

    init(_ topology: Topology) throws {
        bench = Bench(topology)
        device = try bench.bound(Bench.exporter, to: bench.open("/dev/iommu"))
        buffer = Int32(bench.export(device, [(0, 0x4000)]))
        let nic = try #require(try bench.kernel.call(Verbs.ibv_get_device_list).first)
        context = try bench.kernel.call(Verbs.ibv_open_device, nic)
        pd = try bench.kernel.call(Verbs.ibv_alloc_pd, context)
    }

    func register(_ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32? = nil, access: Int32 = 1)
        -> Int32
    {
        errno { () throws(Errno) in
            let mr = try bench.kernel.call(
                Verbs.ibv_reg_dmabuf_mr, pd, offset, length, iova, descriptor ?? buffer, access)
            try bench.kernel.call(Verbs.ibv_dereg_mr, mr)
        }
    }

    @Test func theModelAnswersEveryVerb() {
        #expect(SimKernel.unmodelledVerbs.map(\.signature.name) == [])
    }

    @Test func aVerbWithoutAnAnswerIsSaidToBeUnmodelled() {
        let unknown = Verb("ibv_of_tomorrow", .context, refusals: []) { _ in 0 }
        #expect(throws: Errno(ENOSYS)) { try bench.kernel.call(unknown, context) }
        #expect(bench.kernel.notModelled.map(\.call) == ["ibv_of_tomorrow"])
    }

    @Test func names() throws {
        let nic = try #require(try bench.kernel.call(Verbs.ibv_get_device_list).first)
        let name = withUnsafeBytes(of: nic.pointee.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        #expect(name == "mlx5_0")
        let none = SimKernel(Topology())
        #expect(errno { () throws(Errno) in _ = try none.call(Verbs.ibv_get_device_list) } == ENOSYS)
    }

    @Test func refusalsInOrder() {
        #expect(register(0, 4096, 1, 99, access: 64) == EINVAL)
        #expect(register(0, 4096, 0, 99, access: 2) == EINVAL)
        #expect(register(0, 4096, 0, 99, access: 8) == EINVAL)
        #expect(register(0, 4096, 0, access: 64) == EINVAL)
        #expect(register(.max, 4096, .max, 99) == EINVAL)
        #expect(register(0, 4096, 1) == EINVAL)
        #expect(register(0, 4096, 0, 99) == EBADF)
        #expect(register(0, 4096, 0, device) == EINVAL)
        #expect(register(0, 0x4001, 0) == EINVAL)
        #expect(register(0, 0, 0) == EINVAL)
        #expect(register(0x123, 100, 0x9123) == 0)
        #expect(register(0, 0x4000, 0, access: 1 << 20 | 0xf) == 0)
        bench.put(device, 7, 4, UInt16(0))
        #expect(register(0, 4096, 0) == ENODEV)
    }

    @Test func needsPageFaults() throws {
        var topology = Topology.standard
        topology.nics[0].odp = false
        #expect(try VerbsTests(topology).register(0, 4096, 0) == EOPNOTSUPP)
        topology.nics[0].driver = .rxe
        #expect(try VerbsTests(topology).register(0, 4096, 0) == EOPNOTSUPP)
    }

    @Test func objectsLiveAsLongAsTheyAreUsed() throws {
        let kernel = bench.kernel
        let first = try kernel.call(Verbs.ibv_reg_dmabuf_mr, pd, 0, 4096, 0, buffer, 1)
        let second = try kernel.call(Verbs.ibv_reg_dmabuf_mr, pd, 0x1000, 4096, 0, buffer, 1)
        #expect(first.pointee.lkey != second.pointee.lkey)
        #expect(first.pointee.length == 4096)
        #expect(UInt(bitPattern: second.pointee.addr) == 0x1000)
        #expect(bench.text("/proc/self/fdinfo/\(buffer)").contains("count:\t3\n"))
        #expect(kernel.close(buffer) == 0)
        // Revocation leaves the region.
        #expect(bench.ioctl(device, VFIO_DEVICE_RESET) == 0)
        #expect(errno { () throws(Errno) in try kernel.call(Verbs.ibv_dealloc_pd, pd) } == EBUSY)
        try kernel.call(Verbs.ibv_dereg_mr, first)
        #expect(errno { () throws(Errno) in try kernel.call(Verbs.ibv_dealloc_pd, pd) } == EBUSY)
        try kernel.call(Verbs.ibv_dereg_mr, second)
        #expect(errno { () throws(Errno) in try kernel.call(Verbs.ibv_dereg_mr, second) } == EINVAL)
        try kernel.call(Verbs.ibv_dealloc_pd, pd)
        try kernel.call(Verbs.ibv_close_device, context)
        #expect(!kernel.open.contains { $0.contains("ibv") })
    }

    @Test func hostMemory() throws {
        let kernel = bench.kernel
        let memory = address(try bench.memory(4096))
        let mr = try kernel.call(Verbs.ibv_reg_mr, pd, memory, 4096, 1)
        #expect(address(try #require(mr.pointee.addr)) == memory)
        func refusal(_ address: UInt64, _ length: UInt64, _ access: Int32) -> Int32 {
            errno { () throws(Errno) in _ = try kernel.call(Verbs.ibv_reg_mr, pd, address, length, access) }
        }
        #expect(refusal(memory, 0, 1) == EINVAL)
        #expect(refusal(memory, .max, 1) == EINVAL)
        #expect(refusal(memory, 4096, 2) == EINVAL)
        #expect(refusal(0x1000, 4096, 1) == EFAULT)
        let bar = try kernel.mmap(
            length: 4096, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED, device, at: 2 << 40)
        #expect(refusal(address(bar), 4096, 1) == EFAULT)
    }

    @Test func handleWinsOverTheExporter() throws {
        let kernel = bench.kernel
        let data = TPHTests.data(.v2, buffer, tag: 0x44, hint: 1)
        #expect(bench.ioctl(device, VFIO_DEVICE_FEATURE, bytes: Bench.feature(0x2000d, data)) == 0)
        func alloc(_ mask: UInt32, _ hint: UInt8) -> Int32 {
            errno { () throws(Errno) in
                let attributes = DMAHInitAttributes(comp_mask: mask, cpu_id: 0, ph: hint, tph_mem_type: 0)
                try kernel.call(Verbs.ibv_dealloc_dmah, try kernel.call(Verbs.ibv_alloc_dmah, context, attributes))
            }
        }
        #expect(alloc(0, 0) == EINVAL)
        #expect(alloc(2, 4) == EINVAL)
        #expect(alloc(3, 0) == EINVAL)
        #expect(alloc(2, 3) == 0)
        let handle = try kernel.call(
            Verbs.ibv_alloc_dmah,
            context, DMAHInitAttributes(comp_mask: 2, cpu_id: 0, ph: 3, tph_mem_type: 0))
        var attributes = MRInitAttributes()
        attributes.length = 4096
        attributes.access = 1
        attributes.comp_mask = 0x0d
        attributes.fd = buffer
        let plain = try kernel.call(Verbs.ibv_reg_mr_ex, pd, attributes)
        attributes.comp_mask = 0x1d
        attributes.dmah = handle
        let hinted = try kernel.call(Verbs.ibv_reg_mr_ex, pd, attributes)
        #expect(try Array(kernel.call(Verbs.mkeyContext, plain)[60...61]) == [0x05, 0x44])
        #expect(try Array(kernel.call(Verbs.mkeyContext, hinted)[60...61]) == [0x07, 0])
        #expect(errno { () throws(Errno) in try kernel.call(Verbs.ibv_dealloc_dmah, handle) } == EBUSY)
        attributes.comp_mask = 0x04
        #expect(errno { () throws(Errno) in _ = try kernel.call(Verbs.ibv_reg_mr_ex, pd, attributes) } == EINVAL)
    }
}
