import Testing

@testable import Records

/// Which calls a call depends on.
@Suite struct NeedsTests {
    private static let opening = [
        "open(\"/dev/vfio/devices/vfio0\", 2) = device1", "open(\"/dev/iommu\", 2) = iommufd1",
        "ioctl(device1, VFIO_DEVICE_BIND_IOMMUFD, {argsz=24, flags=0, iommufd=iommufd1, token_uuid_ptr=0} => {out_devid=dev1}) = 0",
    ]

    private static func export(_ number: Int) -> String {
        "ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=40, feature=DMA_BUF, operation=GET, region_index=2, open_flags=O_RDWR, "
            + "flags=0, nr_ranges=1, dma_ranges=[{offset=0, length=0x1000}]}) = dmabuf\(number)"
    }

    /// The calls between those that open a device and the last one that the last one depends on.
    private func needed(_ lines: [String], by last: String = export(9)) throws -> [String] {
        let all = NeedsTests.opening + lines + [last]
        let text = "peerlab record 1\n\n" + all.map { $0 + " <0.000001>\n" }.joined()
        let record = try Record(parsing: text)
        let found = record.numbersOfNeeded(by: try #require(record.operations.last?.index))
        #expect(Set(1...3).isSubset(of: found) && found.contains(all.count))
        return all.enumerated().filter { (4..<all.count).contains($0.offset + 1) && found.contains($0.offset + 1) }.map(
            \.element)
    }

    /// Any of them may be why the export succeeds, or why it should not.
    @Test(arguments: [
        ["pwrite(device1, <00 00>, 2, 0x70000000004) = 2"],
        ["ioctl(device1, VFIO_DEVICE_RESET, 0) = 0"],
        ["mmap(0x1000, 3, 1, device1, 0x20000000000) = map1", "store(map1+0x10, <01>, 1) = 0"],
        [export(1), "mmap(0x1000, 3, 1, dmabuf1, 0) = map1", "store(map1, <01>, 1) = 0"],
        [export(1), "close(dmabuf1) = 0"],
        [
            "ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=12, feature=LOW_POWER_ENTRY, operation=SET, bytes=12, at8=<00 00 00 00>}) = 0"
        ],
        ["open(\"/sys/bus/pci/devices/0000:01:00.0/reset\", 1) = file1", "write(file1, <31>, 1) = 1"],
    ])
    func whatChangesTheDeviceIsNeeded(_ lines: [String]) throws {
        #expect(try needed(lines) == lines)
    }

    @Test(arguments: [
        ["pread(device1, <00 00>, 2, 0x70000000004) = 2"],
        ["pwrite(device1, <00 00>, 2, 0x70000000004) = -1 EIO"],
        ["ioctl(device1, VFIO_DEVICE_GET_REGION_INFO, {argsz=32, index=7} => {flags=READ}) = 0"],
        ["ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=8, feature=DMA_BUF, operation=GET|PROBE, bytes=8}) = 0"],
        ["open(\"/dev/vfio/devices/vfio1\", 2) = device2", "pwrite(device2, <00 00>, 2, 0x70000000004) = 2"],
        ["mmap(0x1000, 3, 0x22, -1, 0) = map1", "store(map1, <01>, 1) = 0"],
    ])
    func whatAsksOrIsOfAnotherObjectIsNot(_ lines: [String]) throws {
        #expect(try needed(lines) == [])
    }

    /// One too many may be what should have been refused; of a refusal, those that were not refused are none of its needs.
    @Test func callsThatAskedTheSameAreNeededByASuccess() throws {
        let one = NeedsTests.export(1)
        #expect(try needed([one]) == [one])
        #expect(try needed([one], by: NeedsTests.export(9).replacing("dmabuf9", with: "-1 ENOSPC")) == [])
    }

    /// Memory decode that is off is what a transfer to the BAR meets.
    @Test func aTransferNeedsWhatChangedItsDevice() throws {
        let off = "pwrite(device1, <00 00>, 2, 0x70000000004) = 2"
        let lines = [
            NeedsTests.export(1), "ibv_get_device_list() = 0 {devices=[{name=\"rxe0\", device=ibdev1}]}",
            "ibv_open_device(device=ibdev1) = context1", "ibv_alloc_pd(context=context1) = pd1",
            "ibv_reg_dmabuf_mr(pd=pd1, offset=0, length=0x1000, iova=0, fd=dmabuf1, access=LOCAL_WRITE) = mr1 "
                + "{lkey=mr1.lkey, rkey=mr1.rkey}",
            "ibv_create_cq(context=context1, cqe=16, channel=0) = cq1",
            "ibv_create_qp(pd=pd1, qp_type=RC, send_cq=cq1, recv_cq=cq1, srq=0, sq_sig_all=0, max_send_wr=1, max_recv_wr=1, "
                + "max_send_sge=1, max_recv_sge=1, max_inline_data=0) = qp1 {qp_num=qp1.qp_num}",
            off,
            "ibv_post_send(qp=qp1, wr=[{wr_id=0, opcode=RDMA_WRITE, send_flags=SIGNALED, remote_addr=0, rkey=mr1.rkey, "
                + "sg_list=[{addr=0, length=0x40, lkey=mr1.lkey}]}]) = 0",
        ]
        let last = "ibv_poll_cq(cq=cq1, num_entries=1) = 1 {wc=[{wr_id=0, status=SUCCESS, qp_num=qp1.qp_num}]}"
        #expect(try needed(lines, by: last).contains(off))
    }
}
