import CKernel
import Glibc
public import Kernel

/// A PCI Express endpoint with memory of its own, which VFIO in a guest exports as a dma-buf.
/// BAR 2 is the memory: a file that the client maps, so that a processor's accesses never reach this process. BAR 0
/// has the MSI-X tables and two registers of 4 bytes. Writing a vector's number to the first raises that vector; the
/// second counts the function's resets.
public final class Exporter: ConfiguredFunction {
    /// What it is like.
    public struct Description: Sendable, Equatable {
        /// Bytes of memory: a power of two, from 4 KiB to 64 TiB.
        public var size: UInt64 = 1 << 20
        /// What Device Capabilities 2 says of its completer.
        public var completer = TPHSupport.none
        /// MSI-X vectors, 1 to 64.
        public var vectors = 1
        /// Whether it has function level reset.
        public var functionLevelReset = true
        /// Whether D3hot keeps its state (No_Soft_Reset).
        public var keepsStateInD3 = true
        /// Vendor and device.
        public var vendor: UInt16 = 0x1af4
        /// See `vendor`.
        public var device: UInt16 = 0x1110

        /// 1 MiB of memory, no TPH completer, one vector.
        public init() {}

        /// The sizes that `size` may have.
        public static let sizes: ClosedRange<UInt64> = 4096...(1 << 46)

        /// Why there is no such function; nil where there is.
        public var refusal: String? {
            guard Description.sizes.contains(size), size.nonzeroBitCount == 1 else {
                return "the size of a BAR is a power of two, from 4 KiB to 64 TiB"
            }
            return (1...64).contains(vectors) ? nil : "there are 1 to 64 vectors"
        }
    }

    /// The memory's BAR.
    public static let memoryBAR = 2
    private static let registers = 0x4000

    /// Its configuration space: PCI Express, power management, MSI-X.
    public let configuration: ConfigSpace
    private let description: Description
    private let bus: any PCIBus
    private let file: Int32
    private let memory: MappedFile
    /// The file that its memory is.
    public let memoryFile: FileIdentity
    /// Vectors that ``work()`` has to raise, one bit each.
    private var rung: UInt64 = 0
    private var resets: UInt32 = 0

    /// Makes the function that `description` describes; the caller has looked at ``Description/refusal``. Errors:
    /// EINVAL for a description that is refused; EMFILE, ENOMEM or EFBIG from making the memory's file.
    public init(_ description: Description, on bus: any PCIBus) throws(Errno) {
        guard description.refusal == nil else { throw Errno(EINVAL) }
        self.description = description
        self.bus = bus
        configuration = Exporter.space(description)
        let file = sys_memfd_of_length(description.size)
        if let error = Errno(result: file) { throw error }
        self.file = Int32(file)
        do throws(Errno) {
            var shape = mappable()
            if let error = Errno(result: socket_mappable(self.file, &shape)) { throw error }
            memory = try MappedFile(self.file, shape)
            memoryFile = MappedFile.Identity(shape).file
        } catch {
            sys_close(self.file)
            throw error
        }
    }

    deinit { sys_close(file) }

    private static func space(_ description: Description) -> ConfigSpace {
        ConfigSpace(
            ConfigSpace.Identity(vendor: description.vendor, device: description.device, classCode: 0x050000),
            bars: [
                ConfigSpace.BAR(0, size: UInt64(registers), is64Bit: false, isPrefetchable: false),
                ConfigSpace.BAR(memoryBAR, size: description.size),
            ],
            capabilities: [
                .power(keepsState: description.keepsStateInD3),
                .express(completer: description.completer, functionLevelReset: description.functionLevelReset),
                .msix(vectors: description.vectors, table: (0, 0x2000), pending: (0, 0x3000)),
            ])
    }

    /// BAR 0, BAR 2 and the configuration space.
    public func region(_ index: Int) -> RegionDescription {
        switch index {
        case 0: RegionDescription(size: Exporter.registers)
        case Exporter.memoryBAR: RegionDescription(size: memory.size, file: file)
        case 7: RegionDescription(size: ConfigSpace.size)
        default: RegionDescription(size: 0)
        }
    }

    /// As described.
    public var vectorCount: Int { description.vectors }

    /// Memory, configuration space, the count of resets; other registers read 0.
    public func read(_ region: Int, at offset: Int, into bytes: UnsafeMutableRawBufferPointer) {
        guard let target = bytes.baseAddress else { return }
        switch region {
        case Exporter.memoryBAR where offset + bytes.count <= memory.size:
            _ = copyGuarded(to: target, from: memory.base + offset, count: bytes.count)
        case 7: configuration.read(at: offset, into: bytes)
        case 0 where offset == 4 && bytes.count == 4:
            bytes.storeBytes(of: resets.littleEndian, as: UInt32.self)
        default: memset(target, 0, bytes.count)
        }
    }

    /// Memory, configuration space, the doorbell.
    public func write(_ region: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        switch region {
        case Exporter.memoryBAR where offset + bytes.count <= memory.size:
            _ = copyGuarded(to: memory.base + offset, from: source, count: bytes.count)
        case 7: configuration.write(at: offset, bytes)
        case 0 where offset == 0 && bytes.count == 4:
            rung |= 1 << UInt64(bytes.number(0, as: UInt32.self))
        default: break
        }
    }

    /// Raises the vectors that were asked for.
    public func work() {
        for vector in 0..<description.vectors where rung & 1 << UInt64(vector) != 0 { bus.interrupt(vector) }
        rung = 0
    }

    /// Resets the configuration space. The memory keeps its contents, as memory on a device does.
    public func reset() {
        configuration.reset()
        rung = 0
        resets &+= 1
    }
}
