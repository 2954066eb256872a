import Runner
import Testing

@Suite struct LifetimeTests {
    @Test(arguments: [
        // a device closed before its dma-buf: the buffer lives on, revoked
        """
        local buf = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 4096 } } }
        dev:close()
        local ctx <close> = iommufd.open()
        local ioas <close> = ctx:alloc_ioas()
        expect.errno("ENODEV", ioas.map_file, ioas, { dmabuf = buf, length = 4096 })
        expect.errno("EBADF", buf.set_tph, buf, { st = 1, ph = "target" })
        buf:close()
        """,
        // a protection domain with a region refuses, and can be closed later
        """
        local ctx <close> = rdma.open("mlx5_0")
        local pd <close> = ctx:alloc_pd()
        local host <close> = memory.alloc(4096)
        local mr <close> = pd:reg_mr { memory = host, access = { "local_write" } }
        expect.errno("EBUSY", pd.close, pd)
        expect.errno("EBUSY", ctx.close, ctx)
        mr:close()
        pd:close()
        """,
        // an address space whose context is gone
        """
        local ctx = iommufd.open()
        local ioas = ctx:alloc_ioas()
        ctx:close()
        local host <close> = memory.alloc(4096)
        expect.errno("EBADF", ioas.map, ioas, { memory = host })
        ioas:close()
        """,
        // attached: the kernel refuses to destroy
        """
        local ctx <close> = iommufd.open()
        local engine <close> = vfio.open("0000:02:00.0", { iommufd = ctx })
        local ioas <close> = ctx:alloc_ioas()
        engine:attach(ioas)
        expect.errno("EBUSY", ioas.close, ioas)
        engine:detach()
        """,
        // everything left to the collector, parents first in the script
        """
        local ctx = rdma.open("mlx5_0")
        local mr = ctx:alloc_pd():reg_mr { memory = memory.alloc(4096) }
        local buf = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 4096 } } }
        """,
    ])
    func parentsAndChildren(_ body: String) throws {
        let outcome = try Outcome(
            """
            local vfio, iommufd, rdma, memory = require "vfio", require "iommufd", require "rdma", require "memory"
            local expect = require "expect"
            local dev = vfio.open("0000:01:00.0")
            \(body)
            """)
        #expect(outcome.result?.verdict == .pass, "\(outcome.lines)")
        #expect(outcome.result?.left_open == [])
        #expect(outcome.result?.collecting == [])
    }
}
