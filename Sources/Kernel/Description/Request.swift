import CKernel

/// How a number is written in traces, errors and exported C.
public enum Format: Sendable {
    /// 4096
    case decimal
    /// 0x1000
    case hexadecimal
    /// Names of bits joined by "|", the rest in hex.
    case flags([Flag])
    /// A name for known values.
    case names([Flag])
    /// A file descriptor or -1.
    case descriptor
    /// An address in this process.
    case pointer
    /// A libibverbs object of that kind ("mr"), by its address.
    case handle(String)
    /// The id of an object in an iommufd.
    case identity
    /// An address that devices use.
    case iova
    /// A bus address; it may differ on another machine.
    case busAddress
    /// A memory region's key.
    case key
    /// A queue pair's number.
    case queueNumber

    /// A bit, or a value, and its name.
    public struct Flag: Sendable {
        /// The bit, or the value.
        public let value: UInt64
        /// The C name without the common prefix.
        public let name: String
        /// From a bit or a value (0 or more) and its name in traces.
        public init(_ value: Int, _ name: String) {
            self.value = UInt64(value)
            self.name = name
        }
    }

    /// The text of `value`, which is sign-extended where the field is signed.
    public func text(_ value: UInt64) -> String {
        switch self {
        case .decimal, .identity: return String(value)
        case .descriptor: return String(Int64(bitPattern: value))
        case .hexadecimal, .pointer, .handle, .iova, .busAddress, .key, .queueNumber:
            return value < 10 ? String(value) : hex(value)
        case .names(let names): return names.first { $0.value == value }?.name ?? hex(value)
        case .flags(let flags):
            var rest = value
            var parts: [String] = []
            for flag in flags where flag.value != 0 && rest & flag.value == flag.value {
                parts.append(flag.name)
                rest &= ~flag.value
            }
            if rest != 0 || parts.isEmpty { parts.append(rest == 0 ? "0" : hex(rest)) }
            return parts.joined(separator: "|")
        }
    }
}

/// One member of a request's structure.
public struct Field: Sendable {
    /// Whether the caller or the kernel writes it.
    public enum Direction: Sendable { case input, output, both }

    /// The C name.
    public let name: String
    /// Bytes from the start of its structure.
    public let offset: Int
    /// 1, 2, 4 or 8 bytes.
    public let size: Int
    let signed: Bool
    /// Whether the caller or the kernel writes it.
    public let direction: Direction
    /// Its format.
    public let format: Format

    /// A field whose offset is not from a C structure (the TPH revisions). `size`: 1, 2, 4 or 8 bytes.
    public init(
        _ name: String, offset: Int, size: Int, signed: Bool = false, _ direction: Direction = .input,
        _ format: Format = .hexadecimal
    ) {
        self.name = name
        self.offset = offset
        self.size = size
        self.signed = signed
        self.direction = direction
        self.format = format
    }

    /// A field of a C structure that starts `start` bytes into the argument; the compiler gives offset and width.
    init<Structure, Value: FixedWidthInteger>(
        _ name: String, _ path: KeyPath<Structure, Value>, _ direction: Direction = .input,
        _ format: Format = .hexadecimal, from start: Int = 0
    ) {
        guard let offset = MemoryLayout<Structure>.offset(of: path) else {
            preconditionFailure("\(name) is not stored")
        }
        self.init(
            name, offset: start + offset, size: MemoryLayout<Value>.size, signed: Value.isSigned, direction, format)
    }

    /// Stores the low bytes of a value in this field; does nothing where `bytes` end before it.
    public func store(_ value: UInt64, in bytes: UnsafeMutableRawBufferPointer) {
        guard offset + size <= bytes.count else { return }
        withUnsafeBytes(of: value.littleEndian) { source in
            for index in 0..<size { bytes[offset + index] = source[index] }
        }
    }

    /// The value of this field in `bytes`, sign-extended; nil where they end before it.
    public func value(in bytes: UnsafeRawBufferPointer) -> UInt64? {
        guard offset + size <= bytes.count else { return nil }
        switch (size, signed) {
        case (1, _): return UInt64(bytes[offset])
        case (2, _): return UInt64(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
        case (4, true):
            let value = bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self)
            return UInt64(bitPattern: Int64(value))
        case (4, false): return UInt64(bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        default: return bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        }
    }
}

/// The structure of a request, or of a feature's data.
public struct Layout: Sendable {
    /// The C structure's name; empty where it has none.
    public let name: String
    /// Members in order.
    public let fields: [Field]
    /// Bytes of the fixed part.
    public let size: Int
    /// Arrays that may follow the fixed part.
    public let trailing: [Trailing]
    /// Memory that members point to.
    public let pointed: [Pointed]

    /// Memory that a member points to; another member has the number of elements.
    public struct Pointed: Sendable {
        /// The member with the address.
        public let field: String
        /// The member with the number of elements; nil for one element.
        public var countField: String?
        /// Bytes of an element.
        public let elementSize: Int
        /// Whether the kernel fills it in.
        public var isOutput = false
    }

    /// An array after the fixed part of a structure.
    public struct Trailing: Sendable {
        /// The C name of the array.
        public let name: String
        /// The member with the number of elements.
        public let countField: String
        /// Bytes of an element.
        public let elementSize: Int
        /// Fields of an element.
        public let fields: [Field]
        /// A bit of a field; the array exists only where it is set.
        public var onlyWith: (field: String, bit: Int)?
    }

    /// A layout of `size` bytes.
    public init(
        _ name: String = "", size: Int, _ fields: [Field], trailing: [Trailing] = [], pointed: [Pointed] = []
    ) {
        self.name = name
        self.fields = fields
        self.size = size
        self.trailing = trailing
        self.pointed = pointed
    }
}

/// The kind of object behind a descriptor. Some ioctl numbers have several meanings, one for each kind.
public enum FileKind: String, Sendable {
    case container = "vfio container"
    case group = "vfio group"
    case device = "vfio device"
    case iommufd = "iommufd"
    case dmabuf = "dma-buf"
    case udmabuf = "udmabuf"
    case heap = "dma heap"
    case importer = "edu importer"
    case other = "file"

    /// The kind that opening a path gives.
    public init(opening path: String) {
        switch path {
        case "/dev/vfio/vfio": self = .container
        case "/dev/iommu": self = .iommufd
        case "/dev/udmabuf": self = .udmabuf
        case "/dev/edu-importer": self = .importer
        case _ where path.hasPrefix("/dev/dma_heap/"): self = .heap
        case _ where path.hasPrefix("/dev/vfio/devices/"): self = .device
        case _ where path.hasPrefix("/dev/vfio/"): self = .group
        default: self = .other
        }
    }
}

/// An ioctl: number, argument, result. This is its only description: typed operations refer to it, traces and errors
/// decode by it.
public struct Request: Sendable {
    /// The third argument of the ioctl.
    public enum Argument: Sendable {
        case none
        case value(Format)
        case structure(Layout)
        /// vfio_device_feature: a header, then the data of the feature it names.
        case feature
        case string
    }
    /// The meaning of a result that is not an error.
    public enum Result: Sendable {
        case zero
        case value
        case descriptor(FileKind)
        /// Depends on the feature (DMA_BUF GET returns a descriptor).
        case feature
    }

    /// The C name.
    public let name: String
    /// The ioctl number.
    public let number: UInt
    /// The kind of file that answers it.
    public let file: FileKind
    /// Its third argument.
    public let argument: Argument
    /// Its result.
    public let result: Result

    init(_ name: String, _ number: Int, on file: FileKind, _ argument: Argument = .none, result: Result = .zero) {
        self.name = name
        self.number = UInt(number)
        self.file = file
        self.argument = argument
        self.result = result
    }

    /// The row for a number on a kind of file; without one, the only row of another kind. A descriptor of unknown kind is likely a
    /// device that another role opened: of several rows it gets a device's.
    public static func find(_ number: UInt, on file: FileKind) -> Request? {
        let rows = all.filter { $0.number == number }
        // An iommufd also answers a container's requests (iommufd/vfio_compat.c).
        let compatible = file == .iommufd ? FileKind.container : file
        return rows.first { $0.file == file } ?? rows.first { $0.file == compatible }
            ?? (rows.count == 1 ? rows.first : file == .other ? rows.first { $0.file == .device } : nil)
    }

    /// The row with that C name.
    public static func find(named name: String) -> Request? { all.first { $0.name == name } }

    /// All known requests.
    public static let all: [Request] = vfio + iommufd + dmabuf + buffers + importer
}
