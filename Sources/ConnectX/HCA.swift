import Glibc
public import Kernel
public import VFIOUser

/// An emulated ConnectX-6 Dx with one InfiniBand port, as mlx5_core and mlx5_ib know it: registers, commands, event queues,
/// and below them the data path.
public final class HCA: ConfiguredFunction {
    /// An event for the log.
    public enum Event {
        /// A command by its name, the number of the object that it names, which most do, and why it was refused if it was.
        case command(StaticString, number: UInt32, CommandFailure?)
        /// The function was reset.
        case reset
    }

    /// What the function is like.
    public let options: HCAOptions
    /// The configuration space (region 7).
    public let configuration: ConfigSpace
    /// Called for each event, for the log.
    public var log: ((Event) -> Void)?
    /// Called for each request before it is sent, with the steering tag from memory key and table.
    public var requests: ((TLP) -> Void)? {
        get { bus.report }
        set { bus.report = newValue }
    }
    /// Its bus, and what it tells of each request there.
    let bus: Requester

    var segment = InitializationSegment()
    var capabilities: Capabilities
    /// How far the driver has started it: by ENABLE_HCA, then INIT_HCA.
    var state = Command.Requirement.nothing
    var issi = 0
    var lentPages: [UInt64] = []
    var nodeDescription: [UInt8]
    var portCapabilities: UInt64?

    let events: EventQueues
    let dataPath: DataPath
    var doorbellPages: NumberedTable<Void>
    var protectionDomains: NumberedTable<Void>
    var xrcDomains: NumberedTable<Void>
    var transportDomains: NumberedTable<Void>

    private let fabric: Fabric
    // Slots of the command queue whose doorbell was rung, one bit each.
    private var commands: UInt32 = 0
    private var doorbells: [Doorbell] = []
    private var isToForget = false
    /// The doorbells that `work` is handling, while new ones are collected.
    private var taken: [Doorbell] = []

    private enum Region {
        static let registers = 0
        static let configuration = 7
    }

    private enum Layout {
        static let size = 32 << 20
        static let vectors = InitializationSegment.size
        static let pending = vectors + 0x1000
        /// The most doorbells that wait for one turn.
        static let mostDoorbells = 4096
    }

    /// A function after power-on, on a bus, with its port on a fabric. The clock counts nanoseconds, as ``wakeUp`` does.
    public init(
        _ options: HCAOptions = HCAOptions(), bus: any PCIBus, fabric: Fabric = Fabric(),
        clock: @escaping () -> UInt64 = HCA.monotonic
    ) {
        self.options = options
        self.fabric = fabric
        self.bus = Requester(bus, clock: clock)
        configuration = Self.configuration(options)
        capabilities = Capabilities(options)
        nodeDescription = Self.description
        let limits = capabilities
        events = EventQueues(bus: self.bus, limit: min(limits[Capabilities.eventQueueCount], 252))
        doorbellPages = NumberedTable(first: Doorbell.firstPage, limit: Doorbell.pageCount - Doorbell.firstPage)
        protectionDomains = NumberedTable(first: 1, limit: limits.count(Capabilities.logMaxProtectionDomain))
        xrcDomains = NumberedTable(first: 1, limit: limits.count(Capabilities.logMaxXRCDomain))
        transportDomains = NumberedTable(first: 1, limit: limits.count(Capabilities.logMaxTransportDomain))
        dataPath = DataPath(
            self.bus, events: events, fabric: fabric, limits: Self.limits(limits), ports: [options.port])
        doorbells.reserveCapacity(Layout.mostDoorbells)
        taken.reserveCapacity(Layout.mostDoorbells)
    }

    deinit {
        fabric.leave(dataPath)
        // Other NICs' requests that wait for this one would wait for ever.
        dataPath.reset()
    }

    private static let description = Array("peerlab: emulated ConnectX".utf8)

    /// Nanoseconds of CLOCK_MONOTONIC.
    public static let monotonic: @Sendable () -> UInt64 = {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    private static func limits(_ capabilities: Capabilities) -> DataPath.Limits {
        DataPath.Limits(
            queuePairs: capabilities.count(Capabilities.logMaxQueuePair),
            completionQueues: capabilities.count(Capabilities.logMaxCompletionQueue),
            receiveQueues: capabilities.count(Capabilities.logMaxReceiveQueue),
            memoryKeys: capabilities.count(Capabilities.logMaxMemoryKey))
    }

    private static func configuration(_ options: HCAOptions) -> ConfigSpace {
        var capabilities: [Capability] = [
            .express(),
            .msix(
                vectors: options.vectorCount, table: (Region.registers, UInt32(Layout.vectors)),
                pending: (Region.registers, UInt32(Layout.pending))),
            .power(),
        ]
        if let table = options.tph.table(vectors: options.vectorCount) {
            capabilities.append(.tphRequester(extended: options.hasExtendedTPH, table: table))
        }
        return ConfigSpace(
            .init(vendor: 0x15b3, device: 0x101d, classCode: 0x02_0700, subsystem: 0x0016),
            bars: [.init(Region.registers, size: UInt64(Layout.size))], capabilities: capabilities)
    }

    // MARK: Regions

    /// MSI-X vectors.
    public var vectorCount: Int { options.vectorCount }

    /// BAR 0 and the configuration space.
    public func region(_ index: Int) -> RegionDescription {
        switch index {
        case Region.registers: RegionDescription(size: Layout.size)
        case Region.configuration: RegionDescription(size: ConfigSpace.size)
        default: RegionDescription(size: 0)
        }
    }

    /// What lies between the initialization segment and device memory reads 0.
    public func read(_ region: Int, at offset: Int, into bytes: UnsafeMutableRawBufferPointer) {
        switch region {
        case Region.configuration: configuration.read(at: offset, into: bytes)
        case Region.registers where offset >= 0 && offset + bytes.count <= InitializationSegment.size:
            segment.read(at: offset, into: bytes, time: bus.clock)
        case Region.registers where offset >= DeviceMemory.start:
            guard let memory = dataPath.deviceMemory.bytes(at: UInt64(offset), bytes.count) else { fallthrough }
            bytes.copyMemory(from: UnsafeRawBufferPointer(memory))
        default: bytes.initializeMemory(as: UInt8.self, repeating: 0)
        }
    }

    /// Notes writes to registers, doorbells and configuration space; ``work()`` acts on them.
    public func write(_ region: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer) {
        switch region {
        case Region.configuration:
            configuration.write(at: offset, bytes)
            takeConfiguration()
        case Region.registers where offset < InitializationSegment.size: writeSegment(at: offset, bytes)
        case Region.registers where offset >= DeviceMemory.start:
            // A bus write is no longer than a cache line; libmlx5 writes words.
            dataPath.deviceMemory.bytes(at: UInt64(offset), bytes.count)?.copyMemory(from: bytes)
        case Region.registers where offset >= Doorbell.firstPage * Doorbell.pageSize:
            guard let doorbell = Doorbell(at: offset, bytes), doorbells.count < Layout.mostDoorbells else { return }
            doorbells.append(doorbell)
        default: break
        }
    }

    /// Copies requester id, TPH and Device Control settings from configuration space to the requester.
    private func takeConfiguration() {
        bus.steering = SteeringTags(configuration)
        bus.control = DeviceControl(configuration.deviceControl)
    }

    /// Registers have 32 bits; a write of a part of one comes from no driver and is ignored.
    private func writeSegment(at offset: Int, _ bytes: UnsafeRawBufferPointer) {
        guard offset % 4 == 0, bytes.count % 4 == 0 else { return }
        for place in stride(from: 0, to: bytes.count, by: 4) {
            let value = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self))
            switch segment.write(value, at: offset + place) {
            case .commands(let slots): commands |= slots
            case .reset: isToForget = true
            case nil: break
            }
        }
    }

    // MARK: Work

    /// Does the commands and doorbells that were rung.
    public func work() {
        if isToForget { forget() }
        if commands != 0 {
            let slots = commands
            commands = 0
            // Slots rung meanwhile are added to those that are left.
            let left = performCommands(slots)
            commands |= left
        }
        // Doorbells rung meanwhile are handled by the next call.
        swap(&doorbells, &taken)
        for doorbell in taken { take(doorbell) }
        taken.removeAll(keepingCapacity: true)
        dataPath.work()
        if let syndrome = events.syndrome { segment.fail(syndrome) }
    }

    /// When the data path has something to do: pauses that end, and turns that go on.
    public var wakeUp: UInt64? { doorbells.isEmpty && commands == 0 ? dataPath.deadline : 0 }

    private func take(_ doorbell: Doorbell) {
        switch doorbell {
        case .eventQueue(let uar, let number, let consumer, let arm):
            events.doorbell(uar: uar, number: number, consumer: consumer, arm: arm)
        case .completionQueue(let uar, let number, let command):
            guard dataPath.completionQueues[number]?.doorbellPage == uar else { return }
            dataPath.armCompletionQueue(UInt32(number), command)
        case .sendQueue(let uar, let number):
            guard dataPath.queuePairs[number]?.doorbellPage == uar else { return }
            dataPath.ringSendQueue(UInt32(number))
        }
    }

    // MARK: Reset

    /// Drops all state. A driver that was using the function finds it disabled, and starts it again.
    public func reset() {
        configuration.reset()
        forget()
    }

    private func forget() {
        segment = InitializationSegment(segment.commandQueue == 0 ? .full : .disabled)
        capabilities = Capabilities(options)
        nodeDescription = Self.description
        portCapabilities = nil
        state = .nothing
        issi = 0
        lentPages = []
        commands = 0
        doorbells.removeAll(keepingCapacity: true)
        isToForget = false
        forgetObjects()
        log?(.reset)
    }

    /// Forgets all objects, as TEARDOWN_HCA does.
    func forgetObjects() {
        dataPath.reset()
        takeConfiguration()
        events.table.removeAll()
        doorbellPages.removeAll()
        protectionDomains.removeAll()
        xrcDomains.removeAll()
        transportDomains.removeAll()
    }
}

extension HCAOptions {
    /// The port as the fabric knows it.
    fileprivate var port: Port {
        var port = Port()
        port.lid = lid
        port.gids = [GID(high: Self.gidPrefix, low: portGUID)]
        return port
    }
}

extension SteeringTags {
    /// What the TPH capability says.
    init(_ configuration: ConfigSpace) {
        self.init()
        requests = Requests(rawValue: configuration.enabledTPH.code) ?? .none
        mode = configuration.steeringMode.flatMap(Mode.init) ?? .noTag
        let entries = (0..<64).compactMap { configuration.steeringTag($0) }
        table = entries.isEmpty ? nil : entries
    }
}

extension HCAOptions.TPH {
    /// The TPH capability's table; nil without the capability.
    fileprivate func table(vectors: Int) -> Capability.SteeringTable? {
        switch self {
        case .none: nil
        case .table(let entries): .capability(entries)
        case .vectors: .msix(vectors)
        case .direct: Capability.SteeringTable.none
        }
    }
}
