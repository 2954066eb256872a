import Kernel
import SimKernel
import TestBench
import Testing

@testable import Records

/// Records that somebody wrote to do harm: none may end the process, or make it hold much.
@Suite struct HostileNumberTests {
    /// A call of many kinds, with numbers of all widths.
    static let text = """
        peerlab record 1

        feature DMA_BUF_TPH number=13 size=8 revision=v2 dmabuf_fd=0:4:fd steering_tag=4:2 ph=6:1
        open("/dev/vfio/devices/vfio0", O_RDWR|O_CLOEXEC) = device1 <0.000002>
        open("/dev/iommu", O_RDWR|O_CLOEXEC) = iommufd1 <0.000002>
        ioctl(device1, VFIO_DEVICE_BIND_IOMMUFD, {argsz=24, flags=0, iommufd=iommufd1, token_uuid_ptr=0} => {out_devid=dev1}) = 0 <0.000002>
        ioctl(iommufd1, IOMMU_IOAS_ALLOC, {size=12, flags=0} => {out_ioas_id=ioas1}) = 0 <0.000002>
        ioctl(device1, VFIO_DEVICE_ATTACH_IOMMUFD_PT, {argsz=16, flags=0, pt_id=ioas1} => {pt_id=hwpt1}) = 0 <0.000002>
        ioctl(device1, VFIO_DEVICE_GET_INFO, {argsz=24}) = 0 <0.000002>
        ioctl(device1, VFIO_DEVICE_GET_REGION_INFO, {argsz=32, index=2}) = 0 <0.000002>
        ioctl(device1, VFIO_DEVICE_GET_IRQ_INFO, {argsz=16, index=0}) = 0 <0.000002>
        ioctl(device1, VFIO_DEVICE_SET_IRQS, {argsz=20, flags=0x21, index=0, start=0, count=0}) = 0 <0.000002>
        ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=40, feature=DMA_BUF, operation=GET, region_index=2, open_flags=O_RDWR|O_CLOEXEC, flags=0, nr_ranges=1, dma_ranges=[{offset=0, length=0x1000}]}) = dmabuf1 <0.000002>
        ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=16, feature=DMA_BUF_TPH, operation=SET, dmabuf_fd=dmabuf1, steering_tag=0x42, ph=2}) = 0 <0.000002>
        pread(device1, <02 00>, 2, 0x70000000004) = 2 <0.000002>
        pwrite(device1, <06 00>, 2, 0x70000000004) = 2 <0.000002>
        lseek(dmabuf1, 0, 2) = 4096 <0.000002>
        ioctl(dmabuf1, DMA_BUF_IOCTL_SYNC, {flags=READ}) = 0 <0.000002>
        memfd_create("peerlab", 0x2) = memfd1 <0.000002>
        ftruncate(memfd1, 0x10000) = 0 <0.000002>
        pwrite(memfd1, <41*4096>, 4096, 0) = 4096 <0.000002>
        ftruncate(memfd1, 0x10000) = 0 <0.000002>
        read(memfd1, <41*16>, 16) = 16 <0.000002>
        write(memfd1, <41*16>, 16) = 16 <0.000002>
        fcntl(memfd1, 1033, 2) = 0 <0.000002>
        eventfd(0) = eventfd1 <0.000002>
        poll(eventfd1, 1) = 0 <0.000002>
        nanosleep(1000) = 0 <0.000002>
        mmap(0x10000, 3, 0x22, -1, 0) = map1 <0.000002>
        store(map1, <41*64>, 64) = 0 <0.000002>
        load(map1, <41*64>, 64) = 0 <0.000002>
        ioctl(iommufd1, IOMMU_IOAS_MAP_FILE, {size=40, flags=FIXED_IOVA|WRITEABLE|READABLE, ioas_id=ioas1, fd=dmabuf1, start=0, length=0x1000, iova=0x100000} => {iova=0x100000}) = 0 <0.000002>
        ioctl(iommufd1, IOMMU_IOAS_MAP, {size=40, flags=FIXED_IOVA|WRITEABLE|READABLE, ioas_id=ioas1, user_va=map1, length=0x1000, iova=0x200000} => {iova=0x200000}) = 0 <0.000002>
        ioctl(iommufd1, IOMMU_IOAS_UNMAP, {size=24, ioas_id=ioas1, iova=0x100000, length=0x1000} => {length=0x1000}) = 0 <0.000002>
        ibv_get_device_list() = 0 {devices=[{name="mlx5_0", device=ibdev1}]} <0.000002>
        ibv_open_device(device=ibdev1) = context1 <0.000002>
        ibv_query_port(context=context1, port=1) = 0 <0.000002>
        ibv_alloc_pd(context=context1) = pd1 <0.000002>
        ibv_alloc_dmah(context=context1, comp_mask=PH, cpu_id=0, ph=1, tph_mem_type=VM) = dmah1 <0.000002>
        ibv_reg_mr(pd=pd1, addr=map1, length=0x10000, access=LOCAL_WRITE) = mr1 {lkey=mr1.lkey, rkey=mr1.rkey} <0.000002>
        ibv_reg_dmabuf_mr(pd=pd1, offset=0, length=0x1000, iova=0, fd=dmabuf1, access=LOCAL_WRITE) = mr2 {lkey=mr2.lkey, rkey=mr2.rkey} <0.000002>
        ibv_reg_mr_ex(pd=pd1, length=0x1000, access=LOCAL_WRITE, comp_mask=IOVA|FD|FD_OFFSET|DMAH, iova=0, addr=0, fd=dmabuf1, fd_offset=0, dmah=dmah1) = mr3 {lkey=mr3.lkey, rkey=mr3.rkey} <0.000002>
        mkey_context(mr=mr3) = 0 {start_addr=0, mkc=<00*64>} <0.000002>
        ibv_alloc_dm(context=context1, length=0x100) = dm1 <0.000002>
        ibv_memcpy_to_dm(dm=dm1, dm_offset=0, bytes=<41*16>, length=16) = 0 <0.000002>
        ibv_memcpy_from_dm(dm=dm1, dm_offset=0, bytes=<41*16>, length=16) = 0 <0.000002>
        ibv_reg_dm_mr(pd=pd1, dm=dm1, dm_offset=0, length=64, access=0x100001) = mr4 {lkey=mr4.lkey, rkey=mr4.rkey} <0.000002>
        ibv_create_comp_channel(context=context1) = channel1 <0.000002>
        ibv_create_cq(context=context1, cqe=128, channel=0) = cq1 <0.000002>
        ibv_modify_cq(cq=cq1, cq_count=1, cq_period=1) = 0 <0.000002>
        ibv_create_qp(pd=pd1, qp_type=RC, send_cq=cq1, recv_cq=cq1, srq=0, sq_sig_all=0, max_send_wr=128, max_recv_wr=128, max_send_sge=1, max_recv_sge=1, max_inline_data=0) = qp1 {qp_num=qp1.qp_num} <0.000002>
        ibv_modify_qp(qp=qp1, attr={qp_state=INIT, qp_access_flags=REMOTE_WRITE, pkey_index=0, port_num=1}, attr_mask=STATE|ACCESS_FLAGS|PKEY_INDEX|PORT) = 0 <0.000002>
        ibv_modify_qp(qp=qp1, attr={qp_state=RTR, path_mtu=1024, rq_psn=0, dest_qp_num=qp1.qp_num, max_dest_rd_atomic=1, min_rnr_timer=12, ah_attr={sgid_index=3, flow_label=0, hop_limit=64, traffic_class=0, dlid=0, sl=0, is_global=1, port_num=1}}, attr_mask=STATE|AV|PATH_MTU|DEST_QPN|RQ_PSN|MAX_DEST_RD_ATOMIC|MIN_RNR_TIMER) = 0 <0.000002>
        ibv_modify_qp(qp=qp1, attr={qp_state=RTS, sq_psn=0, max_rd_atomic=1, timeout=14, retry_cnt=7, rnr_retry=7}, attr_mask=STATE|TIMEOUT|RETRY_CNT|RNR_RETRY|MAX_QP_RD_ATOMIC|SQ_PSN) = 0 <0.000002>
        ibv_create_srq(pd=pd1, max_wr=16, max_sge=1, srq_limit=0) = srq1 <0.000002>
        ibv_modify_srq(srq=srq1, srq_limit=1) = 0 <0.000002>
        ibv_post_recv(qp=qp1, wr=[{wr_id=1, sg_list=[{addr=map1, length=64, lkey=mr1.lkey}]}]) = 0 <0.000002>
        ibv_post_send(qp=qp1, wr=[{wr_id=1, opcode=SEND, send_flags=SIGNALED, sg_list=[{addr=map1, length=64, lkey=mr1.lkey}]}]) = 0 <0.000002>
        ibv_poll_cq(cq=cq1, num_entries=1) = 0 <0.000002>
        munmap(map1, 0x10000) = 0 <0.000002>
        """

    static let extremes: [UInt64] = [
        0, 1, 0x80, 0xff, 0x100, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000,
        1 << 62, .max >> 1, 1 << 63, .max - 4095, .max - 1,
        .max,
    ]

    /// The value with one of its numbers replaced, by each of the extremes.
    static func changed(_ value: Operation.Value) -> [Operation.Value] {
        switch value {
        case .number(_, let format): return extremes.map { .number($0, format) }
        case .symbol(let name, _) where name.hasPrefix("map"): return extremes.map { .symbol(name, $0) }
        case .digest(let hash, _): return [.digest(hash, .max), .digest(hash, 1)]
        case .structure(let members):
            return members.indices.flatMap { index in
                changed(members[index].value).map { value in
                    var copy = members
                    copy[index].value = value
                    return .structure(copy)
                }
            }
        case .list(let values):
            return values.indices.flatMap { index in
                changed(values[index]).map { value in
                    var copy = values
                    copy[index] = value
                    return .list(copy)
                }
            }
        default: return []
        }
    }

    @Test func theCallsAreAnsweredAtAll() throws {
        let record = try Record(parsing: Self.text)
        let replay = Replay(on: SimKernel(.standard), isReal: false)
        var refused: [String] = []
        for entry in record.entries {
            if let answer = replay.answer(entry), answer.errno != "none" || answer.verdict == "impossible" {
                refused.append("\(answer.operation) \(answer.errno)")
            }
        }
        #expect(refused.count < 8, "most calls must reach what they are for: \(refused)")
    }

    /// Every call is made with each of its numbers at the edge of some width, then as it stands.
    @Test func noNumberOfARecordEndsTheProcess() throws {
        let record = try Record(parsing: Self.text)
        let replay = Replay(on: SimKernel(.standard), isReal: false)
        var count = 0
        for entry in record.entries {
            if case .operation(let operation) = entry.kind {
                for index in operation.arguments.indices where !operation.signature.parameters[index].isOutput {
                    for value in Self.changed(operation.arguments[index]) {
                        // A wait that long is only long.
                        if operation.signature.name == "nanosleep" { continue }
                        var other = operation
                        other.arguments[index] = value
                        count += 1
                        _ = try? replay.step(Record.Entry(line: entry.line, .operation(other)))
                    }
                }
            }
            _ = try? replay.step(entry)
        }
        #expect(count > 1000)
    }

    @Test func noNumberOfARecordEndsAnExport() throws {
        let record = try Record(parsing: Self.text)
        for (place, operation) in record.operations {
            var copy = record
            for index in operation.arguments.indices {
                let values = Self.changed(operation.arguments[index])
                for value in [values.first, values.last].compactMap({ $0 }) {
                    var other = operation
                    other.arguments[index] = value
                    copy.entries[place].kind = .operation(other)
                    #expect(!CExport(copy, kselftest: false).text.isEmpty)
                    #expect(other.simplerOnes.allSatisfy { $0.arguments.count == other.arguments.count })
                }
            }
        }
    }

    @Test(arguments: [
        "open(\"/dev/iommu\", O_RDWR) = iommufd9223372036854775807 <0.000001>\nopen(\"/dev/iommu\", O_RDWR) = iommufd1 <0.000001>",
        "close(99999999999999999999) = 0 <0.000001>", "close(-9223372036854775808) = -1 EBADF <4294967295.999999>",
        "mmap(0xffffffffffffffff, 3, 0x22, -1, 0xffffffffffffffff) = map1 <0.000001>",
        "munmap(0, 0xffffffffffffffff) = 0 <0.000001>", "pread(1, <#ffffffffffffffff*9223372036854775807>, 1, 0) = 1",
        "ioctl(1, VFIO_DEVICE_FEATURE, {argsz=8, feature=0x1, bytes=18446744073709551615, at9223372036854775807=<00>}) = 0",
        "feature X number=65535 size=4096 a=4092:4 b=4095:1 c=0:8",
    ])
    func outsizedNumbersAreReadOrRefused(_ lines: String) throws {
        guard let record = try? Record(parsing: "peerlab record 1\n\n\(lines)\n") else { return }
        let replay = Replay(on: SimKernel(.standard), isReal: false)
        for entry in record.entries { _ = try? replay.step(entry) }
        #expect(!CExport(record, kselftest: true).text.isEmpty)
    }

    @Test func linesOfFewBytesDoNotStandForAnyNumberOfThem() {
        let lines = String(repeating: "pwrite(memfd1, <41*67108864>, 67108864, 0) = 67108864\n", count: 5)
        let error = #expect(throws: RecordError.self) { try Record(parsing: "peerlab record 1\n\n\(lines)") }
        #expect(error?.text == "line 7: the record stands for more than 256 MiB of data up to this line")
    }

    @Test func aBundleHasSoManyFilesAndLines() {
        let files = (0..<1001).map { "--- file f\($0).lua 0 lines cbf29ce484222325\n" }.joined()
        let error = #expect(throws: RecordError.self) { try Bundle(parsing: "peerlab bundle 1\n\(files)--- end\n") }
        #expect(error?.message == "a bundle has at most 1000 files")
        let lines = (0..<1001).map { "set: a=\($0)\n" }.joined()
        let other = #expect(throws: RecordError.self) { try Bundle(parsing: "peerlab bundle 1\n\(lines)--- end\n") }
        #expect(other?.line == 1002)
    }
}
