import CKernel
import Glibc
import Kernel

/// What a NIC's queues may have, held against what was asked for: ibv_query_device(3).
struct QueueLimits {
    private let device: ibv_device_attr?

    /// Nothing is known where the device is not asked successfully.
    init(_ context: UnsafeMutablePointer<ibv_context>?, _ kernel: any Kernel) {
        device = context.flatMap { try? kernel.call(Verbs.ibv_query_device, $0) }
    }

    init(of device: ibv_device_attr) { self.device = device }

    /// One number of a request, and the most that the device allows.
    private static func compare(_ name: String, _ asked: UInt32, _ most: Int32?, _ causes: inout Causes) {
        guard let most, most > 0 else { return }
        causes.decide(
            asked > UInt32(most), "\(name) is \(asked), and the device allows \(most)",
            else: "\(name) is within \(most)")
    }

    /// A device tells one number for both queues, the smaller of its two. drivers/infiniband/core/uverbs_cmd.c:
    /// copy_query_dev_fields; hw/mlx5/main.c:mlx5_ib_query_device has 32 of a receive where that is 30, and libmlx5 takes 52 of
    /// a send. So what is above may be the cause, or not.
    private func comparePieces(_ name: String, _ asked: UInt32, _ causes: inout Causes) {
        guard let most = device?.max_sge, most > 0, asked > UInt32(most) else {
            return QueueLimits.compare(name, asked, device?.max_sge, &causes)
        }
        causes.leave(
            "\(name) is \(asked), and the device promises \(most), the smaller of what its two queues take (max_sge)")
    }

    private static func wants(_ name: String, _ asked: UInt32, _ causes: inout Causes) {
        causes.decide(asked == 0, "\(name) is 0", else: "\(name) is not 0")
    }

    /// Of ibv_create_qp's EINVAL. The inline limit no device tells.
    func hint(_ asked: ibv_qp_cap) -> String {
        var causes = Causes()
        QueueLimits.compare("max_send_wr", asked.max_send_wr, device?.max_qp_wr, &causes)
        QueueLimits.compare("max_recv_wr", asked.max_recv_wr, device?.max_qp_wr, &causes)
        comparePieces("max_send_sge", asked.max_send_sge, &causes)
        comparePieces("max_recv_sge", asked.max_recv_sge, &causes)
        if asked.max_inline_data > 0 {
            causes.leave(
                "inline data of \(asked.max_inline_data) bytes are more than the NIC's driver takes (try less)")
        }
        causes.leave(
            "work requests as large as these fit fewer in a queue than the device's most (try fewer, or fewer pieces)")
        causes.leave("this type of queue pair is not the NIC's")
        return causes.hint
    }

    /// Of ibv_modify_qp's EOPNOTSUPP on the way to RTR, where a peer may do with this side as `access` says; mlx5 looks then.
    /// drivers/infiniband/hw/mlx5/qp.c:set_qpc_atomic_flags
    func hint(connecting access: UInt32) -> String {
        var causes = Causes()
        let isAsked = access & IBV_ACCESS_REMOTE_ATOMIC.rawValue != 0
        if isAsked, device == nil {
            causes.leave("the peer may do atomics (access: remote_atomic), and the device does none")
        } else {
            causes.decide(
                isAsked && device?.atomic_cap == IBV_ATOMIC_NONE,
                "the peer may do atomics (access: remote_atomic), and the device does none: leave the flag out",
                else: isAsked ? "the device does atomics" : "remote_atomic was not asked for")
        }
        causes.leave("the device's driver has no queue pairs of this kind, or not with these values")
        return causes.hint
    }

    /// Of ibv_create_cq's EINVAL.
    func hint(entries: Int32) -> String {
        var causes = Causes()
        causes.decide(entries <= 0, "a completion queue has at least 1 entry", else: "it has an entry")
        QueueLimits.compare("cqe", UInt32(max(entries, 0)), device?.max_cqe, &causes)
        causes.leave("the completion channel is another device's")
        return causes.hint
    }

    /// Of ibv_create_srq's EINVAL.
    func hint(requests: UInt32, pieces: UInt32) -> String {
        var causes = Causes()
        QueueLimits.wants("max_wr", requests, &causes)
        QueueLimits.compare("max_wr", requests, device?.max_srq_wr, &causes)
        QueueLimits.wants("max_sge", pieces, &causes)
        QueueLimits.compare("max_sge", pieces, device?.max_srq_sge, &causes)
        causes.leave("the device has no shared receive queues")
        return causes.hint
    }
}

/// Why a work request was not taken. Of a send request before RTS libmlx5 says ENOMEM, as for a full queue (providers/mlx5/qp.c:
/// qp_state_max_gs is 0 until then), others EINVAL.
struct PostCauses {
    let state: ibv_qp_state
    let capacity: ibv_qp_cap
    let isDatagram: Bool
    let pieces: Int

    private static let names = ["RESET", "INIT", "RTR"]

    /// What stands before the state from which it would be taken.
    private func early(_ what: String, _ needed: ibv_qp_state) -> String? {
        guard state.rawValue < needed.rawValue, PostCauses.names.indices.contains(Int(state.rawValue)) else {
            return nil
        }
        return "the queue pair is in state \(PostCauses.names[Int(state.rawValue)]): it takes \(what) once it is "
            + (isDatagram ? "activated, qp:to_rts {}" : "connected, qp:connect { to = ... }")
    }

    private func many(_ most: UInt32, _ name: String) -> String? {
        pieces > Int(most) ? "\(pieces) pieces are more than the queue takes: \(most) (create_qp, \(name))" : nil
    }

    /// Of ibv_post_send's EINVAL and ENOMEM; `inline` is the number of bytes of a request that sends them inline. nil where the
    /// table's hint says as much.
    func sendHint(_ errno: Errno, inline: UInt64?) -> String? {
        guard errno == .invalid || errno.code == ENOMEM else { return nil }
        if let early = early("send requests", IBV_QPS_RTS) { return early }
        if let inline, inline > capacity.max_inline_data {
            return "\(inline) bytes do not go inline: the queue pair takes \(capacity.max_inline_data) "
                + "(create_qp, max_inline_data = \(inline))"
        }
        if let many = many(capacity.max_send_sge, "max_send_sge") { return many }
        return errno == .invalid
            ? "the queue pair is connected, so the request is none that it takes" : nil
    }

    /// Of ibv_post_recv's EINVAL.
    func receiveHint(_ errno: Errno) -> String? {
        guard errno == .invalid else { return nil }
        return early("receive requests", IBV_QPS_INIT) ?? many(capacity.max_recv_sge, "max_recv_sge")
    }
}

/// Why a DMA handle was refused. drivers/infiniband/core/uverbs_std_types_dmah.c, drivers/pci/tph.c:pcie_tph_get_cpu_st
enum DMAHandleCauses {
    /// nil where the table's hint says as much.
    static func hint(_ errno: Errno, _ asked: DMAHInitAttributes, _ kernel: any Kernel) -> String? {
        let mask = DMAHInitMask(rawValue: asked.comp_mask)
        let wantsTag = mask.intersection([.cpuID, .memoryType])
        switch errno {
        case .invalid:
            var causes = Causes()
            causes.decide(
                !mask.contains(.ph), "a handle needs a processing hint: ph = \"target\", say",
                else: "it has a processing hint")
            causes.decide(
                wantsTag == .cpuID || wantsTag == .memoryType,
                wantsTag == .cpuID
                    ? "cpu_id goes with tph_mem_type (\"volatile\" or \"persistent\")"
                    : "tph_mem_type goes with cpu_id",
                else: "cpu_id and tph_mem_type go together")
            guard wantsTag == [.cpuID, .memoryType] else { return causes.hint }
            let present = (try? kernel.attribute("/sys/devices/system/cpu/possible"))
            if let present, let last = lastNumber(of: present) {
                causes.decide(
                    asked.cpu_id > last, "cpu_id is \(asked.cpu_id), and the machine has the CPUs \(present)",
                    else: "the machine has CPU \(asked.cpu_id)")
            } else {
                causes.leave("the machine has no CPU \(asked.cpu_id)")
            }
            causes.leave(
                "the firmware tells no steering tags of CPUs: the NIC's root port has no _DSM for them (ACPI; BIOS setting "
                    + "TPH or cache stashing). A handle of ph alone needs none")
            return causes.hint
        default: return nil
        }
    }

    /// The last of "0-3,8-11".
    private static func lastNumber(of list: String) -> UInt32? {
        list.split(whereSeparator: { ",-".contains($0) }).last.flatMap { UInt32($0) }
    }
}
