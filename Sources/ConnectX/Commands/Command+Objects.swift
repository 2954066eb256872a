/// Objects without state of their own, which others name: domains, doorbell pages and the like.
extension Command {
    private enum Layout {
        static let newUAR = Field("alloc_uar_out.uar", bit: 0x48, width: 24)
        static let uar = Field("dealloc_uar_in.uar", bit: 0x48, width: 24)
        static let newPD = Field("alloc_pd_out.pd", bit: 0x48, width: 24)
        static let pd = Field("dealloc_pd_in.pd", bit: 0x48, width: 24)
        static let newXRCD = Field("alloc_xrcd_out.xrcd", bit: 0x48, width: 24)
        static let xrcd = Field("dealloc_xrcd_in.xrcd", bit: 0x48, width: 24)
        static let newDomain = Field("alloc_transport_domain_out.transport_domain", bit: 0x48, width: 24)
        static let domain = Field("dealloc_transport_domain_in.transport_domain", bit: 0x48, width: 24)
        static let reserved = Field("query_special_contexts_out.resd_lkey", bit: 0x60, width: 32)
        static let null = Field("query_special_contexts_out.null_mkey", bit: 0x80, width: 32)
        static let terminator = Field("query_special_contexts_out.terminate_scatter_list_mkey", bit: 0xa0, width: 32)
    }

    static let objects: [Command] = [
        Command(0x802, "ALLOC_UAR") { (hca, _, output) throws(CommandFailure) in
            output[Layout.newUAR] = UInt64(try hca.doorbellPages.add { _ in () })
        },
        Command(0x803, "DEALLOC_UAR") { (hca, input, _) throws(CommandFailure) in
            let number = input[int: Layout.uar]
            guard hca.doorbellPages[number] != nil else { throw CommandFailure(.badResource, "no such UAR") }
            guard !hca.isInUse(doorbellPage: number) else {
                throw CommandFailure(.badResourceState, "a queue's doorbells are in this UAR")
            }
            _ = hca.doorbellPages.remove(number)
        },
        Command(0x800, "ALLOC_PD") { (hca, _, output) throws(CommandFailure) in
            output[Layout.newPD] = UInt64(try hca.protectionDomains.add { _ in () })
        },
        Command(0x801, "DEALLOC_PD") { (hca, input, _) throws(CommandFailure) in
            let number = input[int: Layout.pd]
            guard hca.protectionDomains[number] != nil else { throw CommandFailure(.badResource, "no such PD") }
            guard !hca.isInUse(protectionDomain: number) else {
                throw CommandFailure(.badResourceState, "objects of this PD exist")
            }
            _ = hca.protectionDomains.remove(number)
        },
        Command(0x80e, "ALLOC_XRCD") { (hca, _, output) throws(CommandFailure) in
            output[Layout.newXRCD] = UInt64(try hca.xrcDomains.add { _ in () })
        },
        Command(0x80f, "DEALLOC_XRCD") { (hca, input, _) throws(CommandFailure) in
            let number = input[int: Layout.xrcd]
            guard hca.xrcDomains[number] != nil else { throw CommandFailure(.badResource, "no such XRC domain") }
            guard !hca.isInUse(xrcDomain: number) else {
                throw CommandFailure(.badResourceState, "objects of this XRC domain exist")
            }
            _ = hca.xrcDomains.remove(number)
        },
        Command(0x816, "ALLOC_TRANSPORT_DOMAIN") { (hca, _, output) throws(CommandFailure) in
            output[Layout.newDomain] = UInt64(try hca.transportDomains.add { _ in () })
        },
        Command(0x817, "DEALLOC_TRANSPORT_DOMAIN") { (hca, input, _) throws(CommandFailure) in
            guard hca.transportDomains.remove(input[int: Layout.domain]) != nil else {
                throw CommandFailure(.badResource, "no such transport domain")
            }
        },
        Command(0x203, "QUERY_SPECIAL_CONTEXTS", out: 32) { (_, _, output) throws(CommandFailure) in
            output[Layout.reserved] = UInt64(SpecialKey.reserved)
            output[Layout.null] = UInt64(SpecialKey.null)
            output[Layout.terminator] = UInt64(SpecialKey.terminator)
        },
    ]
}

/// Memory keys that are the device's own; their indices are below those of the driver's keys.
enum SpecialKey {
    /// Ends a scatter list.
    static let terminator: UInt32 = 0x100
    /// Discards what is written and reads as 0.
    static let null: UInt32 = 0x200
    static let reserved: UInt32 = 0x300
}
