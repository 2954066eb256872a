public import Kernel

/// What a simulated bench consists of: plain values, so a scenario can vary any of them.
public struct Topology: Sendable {
    /// What reports call this bench.
    public var name: String
    /// The kernel release, as uname -r gives it.
    public var release: String
    /// The revision of the DMA_BUF_TPH series the kernel carries; nil for a released kernel.
    public var tph: TPHRevision?
    /// The number VFIO_DEVICE_FEATURE_DMA_BUF_TPH has there.
    public var tphFeature: UInt32
    /// Bits of IOVA the IOMMU translates, 33 to 64.
    public var apertureBits: Int
    /// Whether the IOMMU can make every access of a domain snoop (VFIO_DMA_CC_IOMMU).
    public var forcesSnooping = true
    /// What VT-d's registers say it can do (CAP_REG, ECAP_REG); nil for an IOMMU without IOMMU_GET_HW_INFO data.
    public var iommuRegisters: (capability: UInt64, extended: UInt64)?
    /// PCI functions other than the NICs' own, in any order.
    public var devices: [Device]
    /// RDMA devices. One with a PCI address must have it among `devices` too.
    public var nics: [NIC]
    /// Ports between host bridges and devices.
    public var ports: [Port] = []
    /// Host bridges, the first being the parent of what names none; empty for one that passes everything on.
    public var hostBridges: [HostBridge] = []
    /// What the processors and the firmware do.
    public var platform = Platform()
    /// Whether kernel drivers' DMA goes through the IOMMU's translation.
    public var iommuTranslates = true
    /// Whether the kernel has iommufd, and with it VFIO's character devices.
    public var hasIOMMUFD = true
    /// Whether the program has CAP_SYS_ADMIN; without it sysfs shows 64 bytes of configuration space.
    public var isPrivileged = true
    /// Bytes that the program may pin (RLIMIT_MEMLOCK), which then has no CAP_IPC_LOCK; nil without a limit.
    public var lockedMemory: UInt64?
    /// Paths that the program may not open or list, with all below them.
    public var denied: [String] = []
    /// Paths that the program does not see, with all below them: what a container does not show.
    public var hidden: [String] = []
    /// The kernel's command line.
    public var commandLine = "ro quiet"
    /// How the links carry packets, which decides what headers look like.
    public var linkMode = TLP.Mode.nonFlit

    /// Further files of /proc and /sys, by path, and what they hold.
    public var files: [String: String] = [:]
    /// Further links, by path, and where they lead.
    public var links: [String: String] = [:]
    /// Drivers that nobody binds or unbinds by hand (suppress_bind_attrs).
    public var fixedDrivers: Set<String> = []
    /// Block devices that a file system, or something else, has claimed, by path.
    public var claimed: [String] = []

    /// The kernel release whose behaviour the model has, whatever ``release`` says.
    public static let modelledRelease = "7.3.4"

    /// The kernel of the bench, for its users: which one is modelled, and what it says it is where that is another one.
    public var kernelText: String {
        let isModelled = release.prefix { $0.isNumber || $0 == "." } == Topology.modelledRelease
        return "modelled kernel \(Topology.modelledRelease)"
            + (isModelled ? "" : " that says it is \(release), whose behaviour is not modelled")
    }

    /// A bench of these parts.
    public init(
        name: String = "bench", release: String = Topology.modelledRelease, tph: TPHRevision? = nil,
        tphFeature: UInt32 = 13, apertureBits: Int = 48, devices: [Device] = [], nics: [NIC] = []
    ) {
        self.name = name
        self.release = release
        self.tph = tph
        self.tphFeature = tphFeature
        self.apertureBits = apertureBits
        self.devices = devices
        self.nics = nics
    }

    /// A base address register.
    public struct BAR: Sendable {
        /// What answers behind it.
        public enum Kind: String, Sendable {
            /// Memory space that keeps what is written.
            case memory
            /// I/O port space.
            case io
            /// The registers of the device's engine.
            case registers
        }
        /// 0 to 5. A 64-bit one takes the next index too.
        public var index: Int
        /// Bytes, a power of two.
        public var size: UInt64
        /// What answers behind it.
        public var kind: Kind
        /// Placed above 4 GiB, where it may be larger.
        public var is64Bit: Bool
        /// Prefetchable memory.
        public var prefetchable: Bool
        /// What memory holds at first, where it is not zeros.
        public var contents: [(at: Int, bytes: [UInt8])] = []

        /// A base address register of `size` bytes.
        public init(
            _ index: Int, size: UInt64, kind: Kind = .memory, is64Bit: Bool = false, prefetchable: Bool = false
        ) {
            self.index = index
            self.size = size
            self.kind = kind
            self.is64Bit = is64Bit
            self.prefetchable = prefetchable
        }
    }

    /// A PCI function.
    public struct Device: Sendable {
        /// What it does.
        public enum Kind: Sendable, Equatable {
            /// Memory behind its BARs, nothing else (ivshmem-plain).
            case memory
            /// QEMU's edu DMA engine; addresses are cut to `dmaMask` before use.
            case edu(dmaMask: UInt64)
            /// A network hca; what it can do is in `nics`.
            case nic

            /// QEMU's edu engine with its default 28-bit mask.
            public static let edu = Kind.edu(dmaMask: (1 << 28) - 1)
        }
        /// "0000:01:00.0"
        public var address: String
        /// Vendor id.
        public var vendor: UInt16
        /// Device id.
        public var device: UInt16
        /// Class code, 24 bits.
        public var classCode: UInt32
        /// The bound driver; nil for none.
        public var driver: String?
        /// The driver that knows its id; nil for none.
        public var nativeDriver: String?
        /// The address of the function whose virtual function it is.
        public var physicalFunction: String?
        /// IOMMU group number.
        public var group: Int
        /// Base address registers.
        public var bars: [BAR]
        /// What it says of itself as the target of hints.
        public var completer: TPHSupport
        /// Whether it has a TPH requester capability.
        public var tphRequester: Bool
        /// What it does.
        public var kind: Kind
        /// Bytes of its configuration space: 4096, or 256 where it is no PCI Express function and has no capabilities
        /// but those that `config` brings.
        public var configSize = 4096
        /// Bytes of its configuration space that override what the other members make of it.
        public var config: [(at: Int, bytes: [UInt8])] = []
        /// Whether what belongs to no capability keeps what is written, as in QEMU.
        public var keepsConfigWrites = false
        /// Bits of its configuration space that keep what is written, overriding what the other members make of it.
        public var writableConfig: [(at: Int, bytes: [UInt8])] = []
        /// The memory node it is attached to; -1 where the firmware does not say.
        public var node = -1
        /// The port or host bridge above it; nil for a root port of its bus's own, below the first host bridge.
        public var parent: String?
        /// Its access control services.
        public var acs: ACS = []

        /// A PCI function.
        public init(
            address: String, vendor: UInt16, device: UInt16, classCode: UInt32, driver: String? = "vfio-pci",
            group: Int, bars: [BAR] = [], completer: TPHSupport = .none, tphRequester: Bool = false,
            kind: Kind = .memory
        ) {
            self.address = address
            self.vendor = vendor
            self.device = device
            self.classCode = classCode
            self.driver = driver
            // These bind only what driver_override names.
            nativeDriver = driver.flatMap { $0.hasPrefix("vfio") || $0 == EduImporterFile.driver ? nil : $0 }
            self.group = group
            self.bars = bars
            self.completer = completer
            self.tphRequester = tphRequester
            self.kind = kind
        }
    }
}
