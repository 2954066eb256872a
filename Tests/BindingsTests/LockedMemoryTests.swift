import Bindings
import Devices
import Kernel
import LuaKit
import SimKernel
import TestBench
import Testing

/// RLIMIT_MEMLOCK of a bench: what pins host memory is refused beyond it. Each of the kernel's counters has the whole limit:
/// mm/util.c:account_locked_vm, drivers/iommu/iommufd/pages.c:incr_user_locked_vm, drivers/infiniband/core/umem.c:ib_umem_get
@Suite struct LockedMemoryTests {
    /// What the tries of a script end with, in order: "ok", or an errno.
    private func ends(_ script: String, limit: UInt64? = 65536) throws -> [String] {
        var topology = Topology.standard
        topology.lockedMemory = limit
        let (_, state) = simulatedState(TracingKernel(SimKernel(topology)))
        defer { state.close() }
        let setup = """
            local vfio, iommufd, type1, memory, rdma = require "vfio", require "iommufd", require "type1",
              require "memory", require "rdma"
            local container, context, nic = type1.open(), iommufd.open(), rdma.open("mlx5_0")
            local ends, pd = {}, nic:alloc_pd()
            local function try(f, ...)
              local ok, result = pcall(f, ...)
              ends[#ends + 1] = ok and "ok" or result.name
              return result
            end
            local all, one, more = memory.alloc(65536), memory.alloc(4096), memory.alloc(69632)
            local access = { "local_write" }

            """
        let result = try state.run(
            Array((setup + script + "\nreturn { ends = table.concat(ends, ' ') }").utf8), name: "@limit.lua")
        guard case .table(let fields, _) = result, case .string(let text)? = fields["ends"] else { return [] }
        return text.split(separator: " ").map(String.init)
    }

    private let registrations = """
        try(pd.reg_mr, pd, { memory = more, access = access })
        local mr = try(pd.reg_mr, pd, { memory = all, access = access })
        try(pd.reg_mr, pd, { memory = one, access = access })
        try(pd.reg_mr, pd, { memory = one, access = { "local_write", "on_demand" } })
        mr:close()
        try(pd.reg_mr, pd, { memory = one, access = access })
        """

    @Test func regionsArePinnedUpToIt() throws {
        #expect(try ends(registrations) == ["ENOMEM", "ok", "ENOMEM", "ok", "ok"])
        #expect(try ends(registrations, limit: nil) == ["ok", "ok", "ok", "ok", "ok"])
    }

    @Test func aContainerMapsUpToIt() throws {
        let script = """
            local engine = vfio.open("0000:02:00.0", { container = container })
            try(container.map, container, { memory = more, iova = 0 })
            try(container.map, container, { memory = all, iova = 0 })
            try(container.map, container, { memory = one, iova = 0x100000 })
            container:unmap(0, 65536)
            try(container.map, container, { memory = one, iova = 0x100000 })
            try(pd.reg_mr, pd, { memory = all, access = access })
            """
        #expect(try ends(script) == ["ENOMEM", "ok", "ENOMEM", "ok", "ok"])
    }

    /// An iommufd pins what an attached device can reach; without a device, nothing. What it pins counts against regions too.
    @Test func anAddressSpaceMapsUpToIt() throws {
        let script = """
            local ioas, late = context:alloc_ioas(), context:alloc_ioas()
            try(late.map, late, { memory = more, iova = 0x100000 })
            local engine = vfio.open("0000:02:00.0", { iommufd = context })
            try(engine.attach, engine, late)
            try(engine.attach, engine, ioas)
            try(ioas.map, ioas, { memory = more, iova = 0x100000 })
            try(ioas.map, ioas, { memory = all, iova = 0x100000 })
            try(ioas.map, ioas, { memory = one, iova = 0x200000 })
            try(pd.reg_mr, pd, { memory = one, access = access })
            """
        #expect(try ends(script) == ["ok", "ENOMEM", "ok", "ENOMEM", "ok", "ENOMEM", "ENOMEM"])
    }

    /// A device's memory is not pinned.
    @Test func dmaBufsDoNotCount() throws {
        let script = """
            local device = vfio.open("0000:01:00.0")
            local buf = device:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = "1M" } } }
            try(pd.reg_dmabuf_mr, pd, { dmabuf = buf, length = "1M", access = access })
            """
        #expect(try ends(script) == ["ok"])
    }
}
