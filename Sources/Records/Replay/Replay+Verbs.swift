import CKernel
import Kernel

/// Verbs made again. A missing object makes no call, which the caller notices.
extension Replay {
    /// False where it is none.
    func verb(_ name: String, _ arguments: ReplayArguments) -> Bool {
        do throws(Errno) {
            if try device(name, arguments) { return true }
            if try region(name, arguments) { return true }
            if try queue(name, arguments) { return true }
            return try work(name, arguments)
        } catch {
            return true
        }
    }

    private func device(_ name: String, _ arguments: ReplayArguments) throws(Errno) -> Bool {
        if name == "ibv_get_device_list" {
            _ = try kernel.ibv_get_device_list()
            return true
        }
        if name == "ibv_open_device" {
            guard let device: UnsafeMutablePointer<ibv_device> = arguments.object(0) else { return false }
            _ = try kernel.ibv_open_device(device)
            return true
        }
        guard let context: UnsafeMutablePointer<ibv_context> = arguments.object("context") else { return false }
        switch name {
        case "ibv_close_device": try kernel.ibv_close_device(context)
        case "ibv_query_device": _ = try kernel.ibv_query_device(context)
        case "ibv_query_port": _ = try kernel.ibv_query_port(context, UInt8(truncatingIfNeeded: arguments["port"]))
        case "ibv_query_gid_table": _ = try kernel.ibv_query_gid_table(context)
        case "ibv_alloc_pd": _ = try kernel.ibv_alloc_pd(context)
        case "ibv_create_comp_channel": _ = try kernel.ibv_create_comp_channel(context)
        case "ibv_create_cq":
            _ = try kernel.ibv_create_cq(context, arguments.int32(1), arguments.object("channel"))
        case "ibv_get_async_event": _ = try kernel.ibv_get_async_event(context, arguments.int32(1))
        case "ibv_alloc_dm": _ = try kernel.ibv_alloc_dm(context, arguments["length"])
        case "frmr_pools": _ = try kernel.frmrPools(context)
        case "ibv_alloc_dmah":
            var attributes = DMAHInitAttributes()
            attributes.comp_mask = arguments.uint32("comp_mask")
            attributes.cpu_id = arguments.uint32("cpu_id")
            attributes.ph = UInt8(truncatingIfNeeded: arguments["ph"])
            attributes.tph_mem_type = UInt8(truncatingIfNeeded: arguments["tph_mem_type"])
            _ = try kernel.ibv_alloc_dmah(context, attributes)
        default: return false
        }
        return true
    }

    private func region(_ name: String, _ arguments: ReplayArguments) throws(Errno) -> Bool {
        if name == "ibv_dereg_mr" || name == "mkey_context" {
            guard let mr: UnsafeMutablePointer<ibv_mr> = arguments.object(0) else { return false }
            if name == "ibv_dereg_mr" { try kernel.ibv_dereg_mr(mr) } else { _ = try kernel.mkeyContext(mr) }
            return true
        }
        if name == "ibv_dealloc_dmah" {
            guard let dmah = UnsafeMutableRawPointer(bitPattern: UInt(arguments[0])) else { return false }
            try kernel.ibv_dealloc_dmah(dmah)
            return true
        }
        guard let pd: UnsafeMutablePointer<ibv_pd> = arguments.object("pd") else { return false }
        let access = Int32(truncatingIfNeeded: arguments["access"])
        let descriptor = Int32(truncatingIfNeeded: arguments["fd"])
        switch name {
        case "ibv_dealloc_pd": try kernel.ibv_dealloc_pd(pd)
        case "ibv_reg_mr": _ = try kernel.ibv_reg_mr(pd, arguments["addr"], arguments["length"], access)
        case "ibv_reg_dmabuf_mr":
            _ = try kernel.ibv_reg_dmabuf_mr(
                pd, arguments["offset"], arguments["length"], arguments["iova"], descriptor, access)
        case "mlx5dv_reg_dmabuf_mr":
            _ = try kernel.mlx5dv_reg_dmabuf_mr(
                pd, arguments["offset"], arguments["length"], arguments["iova"], descriptor, access,
                Int32(truncatingIfNeeded: arguments["mlx5_access"]))
        case "ibv_reg_dm_mr":
            guard let dm: UnsafeMutablePointer<ibv_dm> = arguments.object("dm") else { return false }
            _ = try kernel.ibv_reg_dm_mr(pd, dm, arguments["dm_offset"], arguments["length"], access)
        case "ibv_reg_mr_ex":
            var attributes = MRInitAttributes()
            attributes.length = arguments["length"]
            attributes.access = access
            attributes.comp_mask = arguments["comp_mask"]
            attributes.iova = arguments["iova"]
            attributes.addr = UnsafeMutableRawPointer(bitPattern: UInt(arguments["addr"]))
            attributes.fd = descriptor
            attributes.fd_offset = arguments["fd_offset"]
            attributes.dmah = UnsafeMutableRawPointer(bitPattern: UInt(arguments["dmah"]))
            _ = try kernel.ibv_reg_mr_ex(pd, attributes)
        case "ibv_create_qp": try createQueuePair(pd, arguments)
        case "ibv_create_ah": _ = try kernel.ibv_create_ah(pd, path(arguments.members(1)))
        case "ibv_create_srq":
            var attributes = ibv_srq_init_attr()
            attributes.attr.max_wr = arguments.uint32("max_wr")
            attributes.attr.max_sge = arguments.uint32("max_sge")
            attributes.attr.srq_limit = arguments.uint32("srq_limit")
            _ = try kernel.ibv_create_srq(pd, attributes)
        default: return false
        }
        return true
    }

    private func createQueuePair(_ pd: UnsafeMutablePointer<ibv_pd>, _ arguments: ReplayArguments) throws(Errno) {
        var attributes = ibv_qp_init_attr()
        attributes.qp_type = ibv_qp_type(rawValue: arguments.uint32("qp_type"))
        attributes.send_cq = arguments.object("send_cq")
        attributes.recv_cq = arguments.object("recv_cq")
        attributes.srq = arguments.object("srq")
        attributes.sq_sig_all = Int32(truncatingIfNeeded: arguments["sq_sig_all"])
        attributes.cap.max_send_wr = arguments.uint32("max_send_wr")
        attributes.cap.max_recv_wr = arguments.uint32("max_recv_wr")
        attributes.cap.max_send_sge = arguments.uint32("max_send_sge")
        attributes.cap.max_recv_sge = arguments.uint32("max_recv_sge")
        attributes.cap.max_inline_data = arguments.uint32("max_inline_data")
        _ = try kernel.ibv_create_qp(pd, &attributes)
    }

    private func queue(_ name: String, _ arguments: ReplayArguments) throws(Errno) -> Bool {
        if let cq: UnsafeMutablePointer<ibv_cq> = arguments.object("cq") {
            switch name {
            case "ibv_destroy_cq": try kernel.ibv_destroy_cq(cq)
            case "ibv_req_notify_cq": try kernel.ibv_req_notify_cq(cq, arguments[1] != 0)
            case "ibv_modify_cq":
                try kernel.ibv_modify_cq(
                    cq, UInt16(truncatingIfNeeded: arguments[1]), UInt16(truncatingIfNeeded: arguments[2]))
            default: return false
            }
        } else if let channel: UnsafeMutablePointer<ibv_comp_channel> = arguments.object("channel") {
            switch name {
            case "ibv_destroy_comp_channel": try kernel.ibv_destroy_comp_channel(channel)
            case "ibv_get_cq_event": _ = try kernel.ibv_get_cq_event(channel, arguments.int32(1))
            default: return false
            }
        } else if let srq: UnsafeMutablePointer<ibv_srq> = arguments.object("srq") {
            switch name {
            case "ibv_destroy_srq": try kernel.ibv_destroy_srq(srq)
            case "ibv_modify_srq": try kernel.ibv_modify_srq(srq, limit: arguments.uint32("srq_limit"))
            case "ibv_post_srq_recv":
                try postReceives(arguments.list(1)) { request throws(Errno) in
                    try kernel.ibv_post_srq_recv(srq, request)
                }
            default: return false
            }
        } else if let ah: UnsafeMutablePointer<ibv_ah> = arguments.object("ah"), name == "ibv_destroy_ah" {
            try kernel.ibv_destroy_ah(ah)
        } else if let dm: UnsafeMutablePointer<ibv_dm> = arguments.object("dm") {
            return try memory(name, dm, arguments)
        } else {
            return false
        }
        return true
    }

    private func memory(
        _ name: String, _ dm: UnsafeMutablePointer<ibv_dm>, _ arguments: ReplayArguments
    ) throws(Errno) -> Bool {
        switch name {
        case "ibv_free_dm": try kernel.ibv_free_dm(dm)
        case "ibv_memcpy_to_dm":
            let bytes = arguments.bytes(2)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
            defer { buffer.deallocate() }
            buffer.copyBytes(from: bytes)
            try kernel.ibv_memcpy_to_dm(dm, arguments["dm_offset"], UnsafeRawBufferPointer(buffer))
        case "ibv_memcpy_from_dm":
            let count = Int(min(arguments["length"], 1 << 26))
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
            defer { buffer.deallocate() }
            try kernel.ibv_memcpy_from_dm(buffer, dm, arguments["dm_offset"])
        default: return false
        }
        return true
    }
}
