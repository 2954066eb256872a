import Kernel
import SimKernel
import TestBench
import Testing

@testable import Records

/// Numbers of a record that the C type of their argument or member does not hold. To cut one would be to make another call than
/// the record has: 0x100000001 in an int is 1.
@Suite struct NumberWidthTests {
    private static func parsed(_ call: String) throws -> Record {
        try Record(parsing: HostileNumberTests.text + "\n\(call) <0.000001>\n")
    }

    @Test(arguments: [
        ("ibv_reg_mr(pd=pd1, addr=map1, length=0x1000, access=0x100000001) = 0", "access", "int32_t", "0x100000001"),
        ("ibv_reg_mr(pd=pd1, addr=map1, length=-4096, access=0) = 0", "length", "uint64_t", "-4096"),
        ("ibv_query_port(context=context1, port=-1) = 0", "port", "uint8_t", "-1"),
        ("ibv_query_port(context=context1, port=257) = 0", "port", "uint8_t", "257"),
        ("ibv_create_cq(context=context1, cqe=4294967297, channel=0) = 0", "cqe", "int32_t", "4294967297"),
        ("ibv_create_srq(pd=pd1, max_wr=-16, max_sge=1, srq_limit=0) = 0", "max_wr", "uint32_t", "-16"),
        (
            "ibv_alloc_dmah(context=context1, comp_mask=PH, cpu_id=0, ph=258, tph_mem_type=VM) = 0", "ph", "uint8_t",
            "258"
        ),
        ("ibv_modify_qp(qp=qp1, attr={port_num=257}, attr_mask=PORT) = 0", "port_num", "uint8_t", "257"),
        ("ibv_modify_qp(qp=qp1, attr={qp_state=-1}, attr_mask=STATE) = 0", "qp_state", "uint32_t", "-1"),
        ("ibv_modify_qp(qp=qp1, attr={ah_attr={sl=256}}, attr_mask=AV) = 0", "sl", "uint8_t", "256"),
        (
            "ibv_modify_qp(qp=qp1, attr={qp_access_flags=LOCAL_WRITE|0x100000000}, attr_mask=ACCESS_FLAGS) = 0",
            "qp_access_flags", "uint32_t", "LOCAL_WRITE|0x100000000"
        ),
        (
            "ibv_post_recv(qp=qp1, wr=[{wr_id=1, sg_list=[{addr=map1, length=0x100000040, lkey=0}]}]) = 0",
            "length", "uint32_t", "0x100000040"
        ),
        ("ibv_post_send(qp=qp1, wr=[{wr_id=-1, opcode=SEND, sg_list=[]}]) = 0", "wr_id", "uint64_t", "-1"),
        ("ioctl(device1, VFIO_DEVICE_GET_INFO, {argsz=0x100000018}) = 0", "argsz", "uint32_t", "0x100000018"),
        (
            "ioctl(device1, VFIO_DEVICE_BIND_IOMMUFD, {argsz=24, flags=0, iommufd=4294967299, token_uuid_ptr=0}) = 0",
            "iommufd", "int32_t", "4294967299"
        ),
        (
            "ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=40, feature=DMA_BUF, operation=GET, region_index=2, open_flags=0, "
                + "flags=0, nr_ranges=1, dma_ranges=[{offset=-4096, length=0x1000}]}) = 0", "offset", "uint64_t",
            "-4096"
        ),
        (
            "ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=16, feature=DMA_BUF_TPH, operation=SET, dmabuf_fd=dmabuf1, "
                + "steering_tag=0x10042, ph=2}) = 0", "steering_tag", "uint16_t", "0x10042"
        ),
        (
            "ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=8, feature=0x1000d, operation=PROBE}) = 0", "feature",
            "uint16_t",
            "0x1000d"
        ),
        ("ioctl(4294967299, VFIO_DEVICE_GET_INFO, {argsz=24}) = 0", "fd", "int32_t", "4294967299"),
        ("close(4294967299) = 0", "fd", "int32_t", "4294967299"),
        ("open(\"/dev/iommu\", 0x100000002) = file9", "flags", "int32_t", "0x100000002"),
        ("lseek(dmabuf1, 0, 4294967298) = 4096", "whence", "int32_t", "4294967298"),
        ("memfd_create(\"peerlab\", -1) = memfd9", "flags", "uint32_t", "-1"),
        ("poll(eventfd1, 0x10001) = 0", "events", "int16_t", "0x10001"),
        ("eventfd(-1) = eventfd9", "count", "uint32_t", "-1"), ("nanosleep(-1) = 0", "nanoseconds", "uint64_t", "-1"),
        ("mmap(0x10000, 0x100000003, 0x22, -1, 0) = map9", "protection", "int32_t", "0x100000003"),
        ("munmap(map1, -1) = 0", "length", "uint64_t", "-1"),
    ])
    func isNoRecord(_ call: String, _ name: String, _ type: String, _ number: String) {
        let error = #expect(throws: RecordError.self) { try Self.parsed(call) }
        let line = HostileNumberTests.text.split(separator: "\n", omittingEmptySubsequences: false).count + 1
        #expect(error?.text == "line \(line): '\(name)' is of type \(type), which does not hold \(number)")
    }

    /// As traces write them: signed numbers with a sign, or as their bits.
    @Test(arguments: [
        "close(-1) = -1 EBADF", "lseek(dmabuf1, -1, 2) = -1 EINVAL", "ibv_poll_cq(cq=cq1, num_entries=4294967295) = 0",
        "ibv_reg_mr(pd=pd1, addr=map1, length=0x1000, access=0xffffffff80000000) = -1 EINVAL",
        "ibv_reg_mr(pd=pd1, addr=map1, length=0x1000, access=0x80000000) = -1 EINVAL",
        "mmap(0x10000, 3, 0x22, -1, 0xffffffffffffffff) = map9", "poll(eventfd1, 0xffff) = 0",
        "ibv_query_port(context=context1, port=255) = -1 EINVAL",
    ])
    func isHeld(_ call: String) throws { #expect(try !Self.parsed(call).entries.isEmpty) }

    @Test(arguments: [
        (
            "ibv_post_recv(qp=qp1, wr=[{wr_id=1, sg_list=[{addr=map1, length=64, lkey=mr1.lkey+0x100000000}]}]) = 0",
            "'lkey' is of type uint32_t, which does not hold 0x1"
        ),
        (
            "ibv_modify_qp(qp=qp1, attr={port_num=mr1.lkey+0x100}, attr_mask=PORT) = 0",
            "'port_num' is of type uint8_t, which does not hold 0x"
        ),
        (
            "ioctl(device1, VFIO_DEVICE_GET_REGION_INFO, {argsz=32, index=ioas1+0x100000000}) = 0",
            "'index' is of type uint32_t, which does not hold 0x1"
        ),
        (
            "ioctl(iommufd1, IOMMU_IOAS_UNMAP, {size=24, ioas_id=ioas1, iova=ioas1+0xffffffffffffffff, length=1}) = 0",
            "so far behind ioas1 there is nothing"
        ),
    ])
    func whatANameStandsForMustFitToo(_ call: String, _ message: String) throws {
        let replay = Replay(on: SimKernel(.standard), isReal: false)
        let record = try Self.parsed(call)
        for entry in record.entries.dropLast() { _ = try? replay.step(entry) }
        let last = try #require(record.entries.last)
        let error = #expect(throws: Replay.Impossible.self) { try replay.step(last) }
        #expect(error?.message.hasPrefix(message) == true, "\(error?.message ?? "")")
    }
}
