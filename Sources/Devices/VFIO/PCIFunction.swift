public import Kernel

/// A PCI function's address: segment (domain), bus, device, function.
public struct PCIAddress: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// 16 bits or more (VMD segments are larger).
    public let segment: UInt32
    /// 0 to 255.
    public let bus: UInt8
    /// 0 to 31.
    public let device: UInt8
    /// 0 to 7.
    public let function: UInt8

    /// Parses "0000:3b:00.0" or "3b:00.0" (segment 0); nil where it is neither.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2 || parts.count == 3, let last = parts.last else { return nil }
        let pair = last.split(separator: ".", omittingEmptySubsequences: false)
        guard pair.count == 2, let device = UInt8(pair[0], radix: 16), device < 32, pair[0].count <= 2,
            let function = UInt8(pair[1], radix: 16), function < 8, pair[1].count == 1,
            let bus = UInt8(parts[parts.count - 2], radix: 16),
            let segment = parts.count == 3 ? UInt32(parts[0], radix: 16) : 0
        else { return nil }
        self.segment = segment
        self.bus = bus
        self.device = device
        self.function = function
    }

    /// "0000:3b:00.0", as sysfs writes it.
    public var description: String {
        "\(hexDigits(segment, width: 4)):\(hexDigits(bus, width: 2)):\(hexDigits(device, width: 2)).\(function)"
    }

    private var order: UInt64 {
        UInt64(segment) << 16 | UInt64(bus) << 8 | UInt64(device) << 3 | UInt64(function)
    }

    /// By segment, bus, device, function.
    public static func < (a: PCIAddress, b: PCIAddress) -> Bool { a.order < b.order }
}

/// What sysfs says of a PCI function. Source: drivers/pci/pci-sysfs.c.
public struct PCIFunction: Sendable {
    /// Its address.
    public let address: PCIAddress
    /// The vendor and device ids, "1af4:1110".
    public let id: String
    /// The bound driver; nil for none.
    public let driver: String?
    /// The IOMMU group's number; nil where there is none.
    public let group: Int?
    /// Sizes of BAR 0 to 5 that are memory; 0 for others.
    public let memoryBARs: [UInt64]
    /// The VFIO character device's name ("vfio0"); nil where there is none.
    public let cdev: String?

    static func path(_ address: PCIAddress) -> String { "/sys/bus/pci/devices/\(address)" }

    /// Reads one; ENOENT where the machine has no such function.
    public init(_ address: PCIAddress, kernel: any Kernel) throws(Failure) {
        let path = PCIFunction.path(address)
        do throws(Errno) {
            _ = try kernel.list(path)
        } catch {
            let absence = "no such PCI function here; there \(PCIFunction.listed(kernel))"
            throw Failure(
                "open", error, object: "\(address)",
                hint: error == .noEntry ? kernel.isHidden(path) ? Unread.hidden(path, kernel) : absence : nil)
        }
        /// What is there; nil where nothing is. Any other refusal must not look like that.
        func found<Value>(_ name: String, _ body: (String) throws(Errno) -> Value) throws(Failure) -> Value? {
            do throws(Errno) { return try body("\(path)/\(name)") } catch {
                guard error != .noEntry else { return nil }
                throw Failure("open", error, object: "\(path)/\(name)")
            }
        }
        func last(_ link: String) throws(Failure) -> String? {
            let target = try found(link) { (path) throws(Errno) in try kernel.readlink(path) }
            return target?.split(separator: "/").last.map(String.init)
        }
        func text(_ name: String) throws(Failure) -> String? {
            try found(name) { (path) throws(Errno) in try kernel.contents(of: path) }
        }
        func id(_ name: String) throws(Failure) -> String {
            let text = try text(name)?.filter { !$0.isWhitespace } ?? ""
            return text.hasPrefix("0x") ? String(text.dropFirst(2)) : "?"
        }
        self.address = address
        self.id = "\(try id("vendor")):\(try id("device"))"
        driver = try last("driver")
        group = try last("iommu_group").flatMap { Int($0) }
        memoryBARs = PCIFunction.memoryBARs(try text("resource") ?? "")
        cdev = try found("vfio-dev") { (path) throws(Errno) in try kernel.list(path) }?.first
    }

    /// "are 0000:01:00.0 and 0000:02:00.0", the first of many.
    private static func listed(_ kernel: any Kernel) -> String {
        let all = ((try? kernel.list("/sys/bus/pci/devices")) ?? []).compactMap { PCIAddress($0) }.sorted()
        let most = 12
        guard !all.isEmpty else { return "are none" }
        let names = all.prefix(most).map(\.description).joined(separator: ", ")
        return "\(all.count == 1 ? "is" : "are") \(names)"
            + (all.count > most ? " and \(all.count - most) more (/sys/bus/pci/devices)" : "")
    }

    /// All functions of the machine, by address; none where it has no PCI.
    public static func all(kernel: any Kernel) throws(Failure) -> [PCIFunction] {
        let names: [String]
        do throws(Errno) { names = try kernel.list("/sys/bus/pci/devices") } catch {
            let isHidden = kernel.isHidden("/sys/bus")
            guard error == .noEntry, !isHidden else {
                throw Failure(
                    "open", error, object: "/sys/bus/pci/devices",
                    hint: isHidden ? Unread.hidden("/sys/bus", kernel) : nil)
            }
            return []
        }
        var functions: [PCIFunction] = []
        for address in names.compactMap({ PCIAddress($0) }).sorted() {
            do throws(Failure) { functions.append(try PCIFunction(address, kernel: kernel)) } catch {
                // One that was unplugged in the meantime.
                guard error.errno == .noEntry else { throw error }
            }
        }
        return functions
    }

    /// Whether a VFIO driver has it.
    public var isVFIO: Bool { driver.map { $0.contains("vfio") } ?? false }

    /// The lines of .../resource are "start end flags"; flag 0x200 is memory, a zero start is unassigned.
    private static func memoryBARs(_ resource: String) -> [UInt64] {
        resource.split(separator: "\n").prefix(6).map { line in
            let words = line.split(separator: " ").map { UInt64($0.dropFirst(2), radix: 16) ?? 0 }
            guard words.count == 3, words[2] & 0x200 != 0, words[1] > words[0] else { return 0 }
            return words[1] - words[0] &+ 1
        }
    }

    /// Drivers of ports, and stubs, do no DMA of their own: drivers whose driver_managed_dma is set.
    private static let harmlessDrivers = ["pcieport", "pci-stub"]

    /// Other functions of the same IOMMU group that a driver other than VFIO has: they make the group unusable.
    func siblingsInUse(kernel: any Kernel) -> [PCIFunction] {
        guard let group, let names = try? kernel.list("/sys/kernel/iommu_groups/\(group)/devices") else { return [] }
        return names.compactMap { PCIAddress($0) }.filter { $0 != address }
            .compactMap { try? PCIFunction($0, kernel: kernel) }.filter { other in
                other.driver.map { !other.isVFIO && !PCIFunction.harmlessDrivers.contains($0) } ?? false
            }
    }
}
