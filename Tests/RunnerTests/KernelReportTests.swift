import Testing

@testable import Runner

/// What of a kernel's log is a complaint.
@Suite struct KernelReportTests {
    private func titles(_ lines: String...) -> [String] { KernelReports(lines).reports.map(\.title) }

    @Test func aWarningIsOneReportFromItsCutToItsEnd() {
        let lines = [
            "vfio-pci 0000:01:00.0: resetting", "------------[ cut here ]------------",
            "refcount_t: underflow; use-after-free.",
            "WARNING: CPU: 0 PID: 77 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110", "Call Trace:",
            " vfio_pci_dma_buf_move+0x100/0x1a0 [vfio_pci_core]", "---[ end trace 0000000000000000 ]---",
            "vfio-pci 0000:01:00.0: reset done",
        ]
        let reports = KernelReports(lines).reports
        #expect(reports.map(\.title) == ["refcount_t: underflow; use-after-free."])
        #expect(reports.first?.lines == Array(lines[1...6]))
    }

    @Test(arguments: [
        "WARNING: possible circular locking dependency detected", "WARNING: suspicious RCU usage",
        "BUG: KASAN: slab-use-after-free in vfio_pci_core_ioctl+0x1/0x2",
        "BUG: KFENCE: use-after-free read in f+0x1/0x2",
        "BUG kmalloc-64 (Not tainted): Poison overwritten",
        "BUG: sleeping function called from invalid context at a.c:1",
        "UBSAN: array-index-out-of-bounds in drivers/vfio/pci/x.c:3:4", "Oops: 0002 [#1] SMP", "Oops: int3: 0000 [#1]",
        "kernel BUG at mm/slub.c:1!", "general protection fault, probably for non-canonical address 0xdead",
        "list_del corruption. prev->next should be a, but was b", "list_add corruption. next->prev should be prev",
        "refcount_t: addition on 0; use-after-free.", "INFO: task peerlab:77 blocked for more than 120 seconds.",
        "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [peerlab:77]",
        "NMI watchdog: Watchdog detected hard LOCKUP on cpu 0", "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "DMA-API: edu 0000:02:00.0: device driver frees DMA memory with wrong function",
        "DMAR: [DMA Read NO_PASID] Request device [01:00.0] fault addr 0x1000 [fault reason 0x06] PTE Read access is not set",
        "DMAR: DRHD: handling fault status reg 2",
        "AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x1 address=0x0 flags=0x0]",
        "vfio-pci 0000:01:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x1 address=0x0 flags=0x0]",
        "arm-smmu-v3 arm-smmu-v3.0.auto: event: F_TRANSLATION client: 0000:01:00.0 sid: 0x100",
        "Kernel panic - not syncing: sysrq triggered crash", "kmemleak: 3 new suspected memory leaks (see /sys/...)",
    ])
    func isAComplaint(_ line: String) { #expect(titles(line) == [line]) }

    @Test(arguments: [
        "DMAR: Host address width 39", "iommu: Default domain type: Translated",
        "DMA-API: debugging enabled by kernel config",
        "DMA-API: preallocated 65536 debug entries", "edu_importer: loading out-of-tree module taints kernel.",
        "FAULT_INJECTION: forcing a failure.", "systemd[1]: a.service: WARNING: is deprecated", "Call Trace:",
        "DMAR: default IOMMU mode", "Warning: unable to open an initial console.", "",
    ])
    func isNone(_ line: String) { #expect(titles(line) == []) }

    @Test func aBugAndItsOopsAreOne() {
        #expect(
            titles(
                "BUG: kernel NULL pointer dereference, address: 0000000000000000", "#PF: supervisor write access",
                "Oops: 0002 [#1] SMP PTI", "RIP: 0010:f+0x1/0x2", "---[ end trace 0000000000000000 ]---")
                == ["BUG: kernel NULL pointer dereference, address: 0000000000000000"])
    }

    @Test func faultsAreEachTheirOwn() {
        #expect(titles("DMAR: a fault addr 1", "other", "DMAR: a fault addr 2").count == 2)
    }

    /// A report that never ends takes no other along.
    @Test func whatHasNoEndIsCut() {
        let noise = Array(repeating: "noise", count: 1000)
        for start in ["------------[ cut here ]------------", "BUG: KASAN: x"] {
            let reports = KernelReports([start] + noise + ["WARNING: at last"]).reports
            #expect(reports.count == 2)
            #expect(reports[0].lines.count < 500)
        }
    }

    @Test func recordsOfTheLogAreReadAsTheKernelWritesThem() {
        #expect(KernelLog.message(Array("4,1234,5678,-;WARNING: x".utf8)) == "WARNING: x")
        #expect(KernelLog.message(Array(" SUBSYSTEM=pci;x".utf8)) == nil)
        #expect(KernelLog.message(Array("12,1,2,c;a;b".utf8)) == "a;b")
        #expect(KernelLog.message([UInt8]()) == nil)
        #expect(KernelLog.message([0xff, 0x3b, 0xfe]) == "\u{fffd}")
    }

    @Test func flagsAreNamed() {
        #expect(Taint.text(512) == "W (it warned)")
        #expect(Taint.text(1 << 12 | 1 << 63) == "O (a module from outside its tree), bit 63")
    }

    @Test func aLotIsCut() {
        let kept = KernelFindings(lines: (0..<1000).map { "\($0)" + String(repeating: "x", count: 2000) }).lines
        #expect(kept.count == KernelFindings.mostLines + 1)
        #expect(kept.last == "(900 more lines)")
        #expect(kept.allSatisfy { $0.utf8.count <= KernelFindings.longestLine })
    }
}
