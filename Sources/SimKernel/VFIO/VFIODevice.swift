import CKernel
import Glibc
import Kernel

/// A function that vfio-pci drives (struct vfio_pci_core_device). drivers/vfio/pci/vfio_pci_core.c
final class VFIODevice {
    let function: PCIFunction
    unowned let kernel: SimKernel
    unowned let group: VFIOGroup
    /// The N of /dev/vfio/devices/vfioN.
    let number: Int
    private(set) var openCount = 0
    /// Whether unbinding vfio-pci would wait: the device is open, or one of its dma-bufs exists.
    var isUsed: Bool { openCount > 0 || !exports.isEmpty }
    var isLowPower = false
    /// Signalled when something wakes it from low power (LOW_POWER_ENTRY_WITH_WAKEUP).
    var wakeEvent: EventFile?
    /// The iommufd it is bound to, and its id there; nil where it was not opened by its character device.
    var bound: (context: IOMMUFD, id: UInt32)?
    /// Configuration space as a program sees it; made anew by every first open.
    var config: VirtualConfig
    var interrupts = Interrupts()
    var ioeventfds: [IOEventFD] = []
    /// Configuration space as it was before D3hot (pm_save).
    var savedForD3: ConfigSpace?
    /// Exported dma-bufs; each has its index here as `slot`, and removes itself in its deinit.
    private var exports: [Export] = []
    private var saved: ConfigSpace?

    private struct Export {
        unowned let buffer: VFIODMABuf
    }

    init(_ function: PCIFunction, _ group: VFIOGroup, number: Int, _ kernel: SimKernel) {
        self.function = function
        self.group = group
        self.number = number
        self.kernel = kernel
        config = VirtualConfig(function.config)
    }

    // MARK: Open and close

    /// drivers/vfio/vfio_main.c:vfio_df_device_first_open, vfio_pci_core_enable
    func open() {
        openCount += 1
        guard openCount == 1 else { return }
        saved = function.config
        function.config.powerState = 0
        let ports = function.device.bars.contains { $0.kind == .io }
        // pci_enable_device turns decoding on; pci_clear_master comes before it.
        function.config.command =
            function.config.command & ~ConfigSpace.busMasterEnable | ConfigSpace.memoryEnable
            | (ports ? UInt16(PCI_COMMAND_IO) : 0)
        config = VirtualConfig(function.config)
        fixBARs()
        function.onInterrupt = { [unowned self] in
            if interrupts.type == .msi { interruptByMessage() } else { interruptLine() }
        }
        isLowPower = false
        wakeEvent = nil
        refresh()
    }

    /// vfio_pci_core_runtime_resume: any access wakes the device. With a wakeup eventfd low power ends there, though its
    /// dma-bufs stay revoked; without one the device sleeps again.
    func wake() {
        guard isLowPower, let event = wakeEvent else { return }
        event.signal()
        wakeEvent = nil
        isLowPower = false
        refresh()
    }

    /// vfio_pci_core_close_device
    func close() {
        openCount -= 1
        guard openCount == 0 else { return }
        let orphans = exports.map(\.buffer)
        for buffer in orphans { buffer.abandon() }
        forgetHints(of: orphans)
        exports = []
        // vfio_pci_core_disable: pci_restore_state
        power(to: 0)
        savedForD3 = nil
        forgetInterrupts()
        forgetIOEventFDs()
        if let saved { function.config.restore(saved) }
        function.config.command &= ~ConfigSpace.busMasterEnable
        function.onInterrupt = nil
    }

    /// vfio_pci_config.c:__vfio_pci_memory_enabled: from the virtual command register, which may differ from the hardware's.
    var memoryEnabled: Bool {
        function.config.powerState < 3 && config[PCI_COMMAND, UInt16.self] & ConfigSpace.memoryEnable != 0
    }

    /// Whether a mapping of a BAR gives SIGBUS.
    var isDark: Bool { isLowPower || !memoryEnabled }
    private var wasDark = false

    /// To be called after every change that may have switched the memory off or on.
    func refresh() {
        guard isDark != wasDark else { return }
        wasDark.toggle()
        kernel.refreshMappings(of: self)
    }

    // MARK: dma-bufs

    deinit { for export in exports { export.buffer.disown() } }

    func remember(_ buffer: VFIODMABuf) {
        buffer.slot = exports.count
        exports.append(Export(buffer: buffer))
    }

    /// Called by the buffer at that index while it is deallocated.
    func forgetBuffer(at slot: Int) {
        let last = exports.removeLast()
        // The last one moves to the free index.
        guard slot < exports.count else { return }
        last.buffer.slot = slot
        exports[slot] = last
    }

    /// drivers/vfio/pci/vfio_pci_dmabuf.c:vfio_pci_dma_buf_move
    func moveBuffers(revoked: Bool) {
        for export in exports { export.buffer.move(revoked: revoked) }
    }

    /// Ends an event that switched the memory off: dma-bufs and mappings come back if it is on again.
    func restoreBuffers() {
        if memoryEnabled { moveBuffers(revoked: false) }
        refresh()
    }

    // MARK: BARs

    /// vfio_pci_core.h:VFIO_PCI_OFFSET_SHIFT: an offset in a device's file has the region's index above, the offset in
    /// the region below.
    static let offsetShift: UInt64 = 40

    /// What an offset in a device's file means.
    static func region(at offset: UInt64) -> (index: Int, offset: UInt64) {
        (Int(offset >> offsetShift), offset & (1 << offsetShift - 1))
    }

    /// vfio_pci_rdwr.c:vfio_pci_core_do_io_rw: reads of the MSI-X table give ones and writes to it are lost, even while
    /// memory is off.
    func transfer(_ bar: Topology.BAR, _ offset: UInt64, _ bytes: UnsafeMutableRawBufferPointer, write: Bool)
        throws(Errno)
    {
        let table = function.config.msixTable
        let hidden = table?.bar == bar.index ? table?.bytes ?? 0..<0 : 0..<0
        let part = (offset..<(offset + UInt64(bytes.count))).clamped(to: hidden)
        let isHidden = !part.isEmpty
        let before = isHidden ? Int(part.lowerBound - offset) : bytes.count
        let after = isHidden ? Int(part.upperBound - offset) : bytes.count
        for (start, end) in [(0, before), (after, bytes.count)] where start < end {
            guard bar.kind == .io || memoryEnabled else { throw Errno(EIO) }
            let visible = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<end])
            try access(bar, offset + UInt64(start), visible, write: write)
        }
        if !write { for index in before..<after { bytes[index] = 0xff } }
    }

    /// Copies from or to a BAR as a bus access does, one naturally aligned access after the other; the caller has
    /// checked the bounds. Reads of a function that does not decode memory give ones, writes are lost.
    func access(_ bar: Topology.BAR, _ offset: UInt64, _ bytes: UnsafeMutableRawBufferPointer, write: Bool)
        throws(Errno)
    {
        guard bar.kind == .registers, let engine = function.engine else {
            let memory = try function.memory(bar)
            if write {
                memory.write(at: offset, UnsafeRawBufferPointer(bytes))
            } else {
                memory.read(at: offset, into: bytes)
            }
            return
        }
        for (start, size) in BusAccess.split(offset, bytes.count, limit: 8) {
            let part = UnsafeMutableRawBufferPointer(
                rebasing: bytes[Int(start - offset)..<(Int(start - offset) + size)])
            if write {
                var value: UInt64 = 0
                withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: part) }
                engine.write(start, size, value, now: kernel.now)
            } else {
                withUnsafeBytes(of: engine.read(start, size, now: kernel.now)) {
                    part.copyBytes(from: $0.prefix(size))
                }
            }
        }
    }
}

/// How a long access is cut into naturally aligned ones.
enum BusAccess {
    static func split(_ offset: UInt64, _ count: Int, limit: Int) -> [(offset: UInt64, size: Int)] {
        var parts: [(UInt64, Int)] = []
        var next = offset
        var rest = count
        while rest > 0 {
            var size = limit
            while size > rest || next % UInt64(size) != 0 { size /= 2 }
            parts.append((next, size))
            next += UInt64(size)
            rest -= size
        }
        return parts
    }
}
