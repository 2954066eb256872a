import Glibc
import Kernel

/// QEMU's edu device (docs/specs/edu.rst, hw/misc/edu.c): registers, and a DMA engine with a 4 KiB buffer.
final class EduEngine {
    static let bufferStart: UInt64 = 0x40000
    static let bufferSize = 4096
    /// hw/misc/edu.c:edu_mmio_write starts a 100 ms timer.
    static let duration: UInt64 = 100_000_000
    private static let factorialDuration: UInt64 = 10_000
    private static let start: UInt64 = 1
    private static let fromBuffer: UInt64 = 2
    private static let interrupt: UInt64 = 4

    private let mask: UInt64
    private var inverted: UInt32 = 0
    private var factorial: UInt32 = 0
    private var factorialDue: UInt64?
    private var status: UInt32 = 0
    private var interrupts: UInt32 = 0
    private var source: UInt64 = 0
    private var destination: UInt64 = 0
    private var count: UInt64 = 0
    private var command: UInt64 = 0
    private var due: UInt64?
    private var buffer = [UInt8](repeating: 0, count: EduEngine.bufferSize)

    init(dmaMask: UInt64) { mask = dmaMask }

    /// What is done when an interrupt is raised or taken back.
    var onInterrupt: (() -> Void)?
    var isInterrupting: Bool { interrupts != 0 }

    func isDue(_ now: UInt64) -> Bool { [due, factorialDue].contains { $0.map { $0 <= now } ?? false } }

    /// hw/misc/edu.c:edu_raise_irq, edu_lower_irq
    private func setInterrupts(_ bits: UInt32) {
        interrupts = bits
        onInterrupt?()
    }

    /// Does what is due.
    func advance(_ now: UInt64, _ function: PCIFunction, _ kernel: SimKernel) {
        settle(now)
        if let due, due <= now { finish(function, kernel) }
    }

    // MARK: Registers

    /// hw/misc/edu.c:edu_mmio_read
    func read(_ offset: UInt64, _ size: Int, now: UInt64) -> UInt64 {
        guard size == 4 || (offset >= 0x80 && size == 8) else { return .max }
        switch offset {
        case 0x00: return 0x0100_00ed
        case 0x04: return UInt64(inverted)
        case 0x08:
            settle(now)
            return UInt64(factorial)
        case 0x20:
            settle(now)
            return UInt64(status)
        case 0x24: return UInt64(interrupts)
        case 0x80: return source
        case 0x88: return destination
        case 0x90: return count
        case 0x98: return command
        default: return .max
        }
    }

    /// hw/misc/edu.c:edu_mmio_write; the DMA registers are locked while a transfer runs
    func write(_ offset: UInt64, _ size: Int, _ value: UInt64, now: UInt64) {
        guard size == 4 || (offset >= 0x80 && size == 8) else { return }
        settle(now)
        let running = command & EduEngine.start != 0
        switch offset {
        case 0x04: inverted = ~UInt32(truncatingIfNeeded: value)
        case 0x08 where status & 1 == 0:
            factorial = UInt32(truncatingIfNeeded: value)
            status |= 1
            factorialDue = now &+ EduEngine.factorialDuration
        case 0x20: status = status & ~0x80 | UInt32(truncatingIfNeeded: value) & 0x80
        case 0x60: setInterrupts(interrupts | UInt32(truncatingIfNeeded: value))
        case 0x64: setInterrupts(interrupts & ~UInt32(truncatingIfNeeded: value))
        case 0x80 where !running: source = value
        case 0x88 where !running: destination = value
        case 0x90 where !running: count = value
        case 0x98 where !running && value & EduEngine.start != 0:
            command = value
            due = now &+ EduEngine.duration
        default: break
        }
    }

    private func settle(_ now: UInt64) {
        guard let due = factorialDue, due <= now else { return }
        factorialDue = nil
        // 34! and everything above it is 0 modulo 2^32.
        factorial = factorial >= 34 ? 0 : (0..<factorial).reduce(1) { $0 &* ($1 + 1) }
        status &= ~1
        if status & 0x80 != 0 { setInterrupts(interrupts | 1) }
    }

    // MARK: DMA

    /// QEMU 7.2 aborts on a transfer that reaches the buffer's last byte.
    static let longestCopy: UInt64 = 4088

    /// A copy as the kernel's driver does it; returns when the engine is done.
    /// scripts/lab/edu-importer/engine.c:edu_engine_copy
    func copy(from source: UInt64, to destination: UInt64, _ count: UInt64, _ kernel: SimKernel) throws(Errno) {
        try transfer(from: source, to: EduEngine.bufferStart, count, EduEngine.start, kernel)
        try transfer(
            from: EduEngine.bufferStart, to: destination, count, EduEngine.start | EduEngine.fromBuffer, kernel)
    }

    /// engine.c:transfer looks every 2 ms, for 10 s.
    private func transfer(
        from source: UInt64, to destination: UInt64, _ count: UInt64, _ command: UInt64, _ kernel: SimKernel
    ) throws(Errno) {
        write(0x80, 8, source, now: kernel.now)
        write(0x88, 8, destination, now: kernel.now)
        write(0x90, 8, count, now: kernel.now)
        write(0x98, 8, command, now: kernel.now)
        for _ in 0..<5000 {
            if read(0x98, 4, now: kernel.now) & EduEngine.start == 0 { return }
            kernel.pass(2_000_000)
        }
        throw Errno(ETIMEDOUT)
    }

    /// hw/misc/edu.c:edu_dma_timer
    private func finish(_ function: PCIFunction, _ kernel: SimKernel) {
        due = nil
        transfer(function, kernel)
        command &= ~EduEngine.start
        if command & EduEngine.interrupt != 0 { setInterrupts(interrupts | 0x100) }
    }

    private func transfer(_ function: PCIFunction, _ kernel: SimKernel) {
        let toMemory = command & EduEngine.fromBuffer != 0
        let local = toMemory ? source : destination
        guard local >= EduEngine.bufferStart, count <= UInt64(EduEngine.bufferSize),
            local - EduEngine.bufferStart <= UInt64(EduEngine.bufferSize) - count
        else {
            _ = kernel.notModelled("edu DMA outside its buffer", EIO)
            return
        }
        // Without bus mastering the function's requests are dropped.
        guard count > 0, function.busMaster else { return }
        let start = Int(local - EduEngine.bufferStart)
        let iova = (toMemory ? destination : source) & mask
        let fault = buffer.withUnsafeMutableBytes { bytes -> String? in
            let part = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<(start + Int(count))])
            let fault = kernel.transfer(part, at: iova, toMemory: toMemory, by: function)
            // QEMU's softmmu/physmem.c:flatview_read_continue: what cannot be read reads as zeros.
            if fault != nil, !toMemory { _ = part.initializeMemory(as: UInt8.self, repeating: 0) }
            return fault
        }
        guard let fault, kernel.iommuFaults.count < SimKernel.mostFaults else { return }
        kernel.iommuFaults.append(
            "\(function.device.address): \(toMemory ? "write" : "read") of \(count) bytes at IOVA "
                + "\(hex(iova)): \(fault)")
    }
}
