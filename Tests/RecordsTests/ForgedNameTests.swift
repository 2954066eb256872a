import Kernel
import SimKernel
import TestBench
import Testing

@testable import Records

/// Records in which something else stands where a name of an object, a descriptor or memory belongs: bytes of the record that
/// would be taken for an object, a number behind a name, a name of another kind. Such a call is not made.
@Suite struct ForgedNameTests {
    @Test(arguments: [
        "ibv_post_send(qp=&<00>, wr=[]) = 0",
        "ibv_post_send(qp=qp1, wr=[{wr_id=1, opcode=SEND, ah=&<00*64>, sg_list=[]}]) = 0",
        "ibv_post_send(qp=qp1, wr=[{wr_id=1, opcode=SEND, ah=mr1, sg_list=[]}]) = 0",
        "ibv_post_send(qp=qp1, wr=[{wr_id=1, opcode=BIND_MW, mw=&<00*64>, mr=mr1, sg_list=[]}]) = 0",
        "ibv_post_send(qp=qp1, wr=[{wr_id=1, opcode=BIND_MW, mw=mr1, mr=mr1, sg_list=[]}]) = 0",
        "ibv_post_send(qp=qp1, wr=[{wr_id=1, opcode=BIND_MW, mr=mr1, sg_list=[]}]) = 0",
        "ibv_dereg_mr(mr=&<00*64>) = 0", "ibv_dereg_mr(mr=mr1+0x8) = 0", "ibv_dereg_mr(mr=pd1) = 0",
        "ibv_dereg_mr(mr=0x1000) = 0", "ibv_poll_cq(cq=&<00>, num_entries=1) = 0",
        "ibv_create_qp(pd=pd1, qp_type=RC, send_cq=&<00*64>, recv_cq=cq1, srq=0, sq_sig_all=0, max_send_wr=1, max_recv_wr=1, "
            + "max_send_sge=1, max_recv_sge=1, max_inline_data=0) = qp2 {qp_num=qp2.qp_num}",
        "close(eventfd1+0x1) = 0", "write(mr1, <78>, 1) = 1", "read(&<00*8>, <00>, 1) = 1",
        "ioctl(iommufd1, VFIO_IOMMU_DIRTY_PAGES, {argsz=48, flags=GET_BITMAP, iova=0, size=0x1000, bitmap_pgsize=0x1000, "
            + "bitmap_size=8, bitmap_data=mr1}) = 0",
        "ioctl(iommufd1, IOMMU_IOAS_MAP_FILE, {size=40, flags=READABLE, ioas_id=ioas1, fd=mr1, start=0, length=0x1000, iova=0}) = 0",
        "ioctl(iommufd1, IOMMU_IOAS_MAP_FILE, {size=40, flags=READABLE, ioas_id=ioas1, fd=dmabuf1+0x1, start=0, length=0x1000, "
            + "iova=0}) = 0",
        "ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=16, feature=DMA_BUF_TPH, operation=SET, dmabuf_fd=eventfd1+0x1, "
            + "steering_tag=0x42, ph=2}) = 0",
        "ioctl(iommufd1, IOMMU_IOAS_MAP, {size=40, flags=READABLE, ioas_id=ioas1, user_va=mr1, length=0x1000, iova=0}) = 0",
        "ibv_post_recv(qp=qp1, wr=[{wr_id=1, sg_list=[{addr=pd1, length=64, lkey=mr1.lkey}]}]) = 0",
        "ibv_post_recv(qp=qp1, wr=[{wr_id=1, x=<#1*67108864>, y=<#1*67108864>}]) = 0",
    ])
    func isNotMade(_ call: String) throws {
        let record = try Record(parsing: HostileNumberTests.text + "\n\(call) <0.000001>\n")
        let replay = Replay(on: SimKernel(.standard), isReal: false)
        for entry in record.entries.dropLast() where replay.answer(entry)?.verdict == "impossible" {
            Issue.record("line \(entry.line) could not be made")
        }
        let last = try #require(record.entries.last)
        #expect(throws: Replay.Impossible.self) { try replay.step(last) }
    }

    @Test func noMemberStandsTwice() {
        let line = "ibv_post_send(qp=qp1, wr=[{opcode=RDMA_WRITE, remote_addr=0x4141, opcode=SEND}]) = 0 <0.000001>"
        let error = #expect(throws: RecordError.self) { try Record(parsing: "peerlab record 1\n\n\(line)\n") }
        #expect(error?.text.contains("'opcode' stands twice") == true)
    }
}
