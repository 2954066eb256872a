import CKernel
import Glibc
import Kernel

/// How many work requests a queue of libmlx5 gets, which depends on how they are laid out in it.
/// providers/mlx5/verbs.c:mlx5_calc_sq_size, mlx5_calc_rq_size
enum QueueSizes {
    /// Bytes of the longest work request of each kind (max_wqe_sz_sq, max_wqe_sz_rq).
    private static let longestSend = 1024, longestReceive = 512
    /// Bytes that a send queue is counted in (MLX5_SEND_WQE_BB).
    private static let block = 64
    /// The most blocks of a send queue, and receive requests of a receive queue (log_max_qp_sz).
    private static let most = 1 << 15
    /// Bytes of a data segment, and of the control segment that all begin with.
    private static let segment = 16
    /// Bytes before inline data.
    private static let inlineHeader = 4

    /// What a queue pair gets; EINVAL for what fits none.
    static func granted(_ asked: ibv_qp_cap, _ type: ibv_qp_type, isShared: Bool) throws(Errno) -> ibv_qp_cap {
        var granted = asked
        if asked.max_send_wr > 0 { try send(&granted, overhead(type)) }
        if isShared {
            (granted.max_recv_wr, granted.max_recv_sge) = (0, 0)
        } else if asked.max_recv_wr > 0 {
            try receive(&granted)
        }
        return granted
    }

    /// Bytes before the data: control, and of a datagram its address; else as much as binding a memory window takes.
    /// providers/mlx5/verbs.c:sq_overhead
    private static func overhead(_ type: ibv_qp_type) -> Int { type == IBV_QPT_UD ? 64 : 192 }

    private static func send(_ cap: inout ibv_qp_cap, _ overhead: Int) throws(Errno) {
        let inline = Int(cap.max_inline_data), pieces = Int(cap.max_send_sge), requests = Int(cap.max_send_wr)
        guard pieces <= (longestSend - overhead) / segment else { throw Errno(EINVAL) }
        let data = overhead + ((inlineHeader + inline + segment - 1) & ~(segment - 1))
        // The library adds in 32 bits, so that a very large sum wraps and passes.
        let bytesOfOne = max(overhead + pieces * segment, inline == 0 ? 0 : Int(Int32(truncatingIfNeeded: data)))
        guard bytesOfOne <= longestSend else { throw Errno(EINVAL) }
        let size = (bytesOfOne + block - 1) & ~(block - 1)
        guard requests <= Int(Int32.max) / longestSend else { throw Errno(EINVAL) }
        let bytes = Int(UInt64(requests * size).nextPowerOfTwo)
        guard bytes / block <= most else { throw Errno(EINVAL) }
        cap.max_inline_data = UInt32(max(0, size - overhead - inlineHeader))
        cap.max_send_wr = UInt32(bytes / size)
    }

    private static func receive(_ cap: inout ibv_qp_cap) throws(Errno) {
        guard cap.max_recv_wr <= most else { throw Errno(EINVAL) }
        guard Int(cap.max_recv_sge) <= longestReceive / segment else { throw Errno(EINVAL) }
        let size = Int((UInt64(max(cap.max_recv_sge, 1)) * UInt64(segment)).nextPowerOfTwo)
        let bytes = max(Int(UInt64(cap.max_recv_wr).nextPowerOfTwo) * size, block)
        cap.max_recv_wr = UInt32(bytes / size)
        cap.max_recv_sge = UInt32(size / segment)
    }

    /// What a shared receive queue gets: requests, and the most that its limit may be. providers/mlx5/verbs.c:
    /// mlx5_create_srq keeps one place free and tells the kernel of all; hw/mlx5/srq.c:mlx5_ib_create_srq rounds those up again.
    static func granted(_ asked: ibv_srq_attr) throws(Errno) -> (attributes: ibv_srq_attr, mostLimit: UInt32) {
        guard asked.max_wr < most else { throw Errno(EINVAL) }
        // Each begins with a segment that links it to the next.
        guard Int(asked.max_sge) <= longestReceive / segment - 1 else { throw Errno(EINVAL) }
        let places = UInt64(asked.max_wr + 1).nextPowerOfTwo
        var granted = asked
        granted.max_wr = UInt32(places - 1)
        return (granted, UInt32((places + 1).nextPowerOfTwo - 1))
    }
}
