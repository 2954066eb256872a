public import Kernel

/// Which driver a PCI function has, and which one alone it may have.
public struct DriverState: Sendable, Equatable {
    /// Whose.
    public let address: PCIAddress
    /// The bound driver; nil for none.
    public var driver: String?
    /// What its driver_override names; nil for nothing.
    public var override: String?

    /// Nothing is known yet.
    init(_ address: PCIAddress) { self.address = address }

    /// What sysfs says now; ENOENT where the function is not there.
    public init(_ address: PCIAddress, kernel: any Kernel) throws(Failure) {
        self.address = address
        driver = try PCIFunction(address, kernel: kernel).driver
        let text = try kernel.attribute("\(PCIFunction.path(address))/driver_override")
        override = text == "(null)" || text.isEmpty ? nil : text
    }
}

/// What binding a device to vfio-pci changes, as it was before: enough to undo it, whoever does that.
public struct BindingRecord: Sendable, Equatable {
    /// Virtual functions, which go away with their physical function's driver.
    public struct VirtualFunctions: Sendable, Equatable {
        /// sriov_numvfs
        public var count: Int
        /// sriov_drivers_autoprobe, as it reads.
        public var probes = ""
        /// Each one's driver.
        public var functions: [DriverState] = []
    }

    /// The device.
    public var function: DriverState
    /// nil where the device can have none.
    public var virtual: VirtualFunctions?
    /// The boot in which that was so: /proc/sys/kernel/random/boot_id.
    public var boot: String
    /// Who undoes it.
    public enum Owner: String, Sendable {
        /// The run that has it bound, at its end.
        case run
        /// The user, who has it bound until then.
        case user
    }
    /// Who undoes it.
    public var owner: Owner

    /// The device as it is now.
    init(of address: PCIAddress, owner: Owner, kernel: any Kernel) throws(Failure) {
        self.owner = owner
        boot = try BindingRecord.currentBoot(kernel)
        function = try DriverState(address, kernel: kernel)
        let path = PCIFunction.path(address)
        guard let count = try kernel.attributeIfThere("\(path)/sriov_numvfs").flatMap({ Int($0) }) else { return }
        let probes = try kernel.attributeIfThere("\(path)/sriov_drivers_autoprobe") ?? ""
        var virtual = VirtualFunctions(count: count, probes: probes)
        for address in kernel.virtualFunctions(of: address) {
            virtual.functions.append(try DriverState(address, kernel: kernel))
        }
        self.virtual = virtual
    }

    /// This boot's id.
    static func currentBoot(_ kernel: any Kernel) throws(Failure) -> String {
        try kernel.attribute("/proc/sys/kernel/random/boot_id")
    }

    // MARK: As text

    private static let head = "peerlab binding 1"

    /// A line for each thing; "end" is the last. What is not there has no line.
    var text: String {
        func lines(_ state: DriverState) -> [String] {
            ["function \(state.address)"] + (state.driver.map { ["driver \($0)"] } ?? [])
                + (state.override.map { ["override \($0)"] } ?? [])
        }
        var all = [BindingRecord.head, "boot \(boot)", "owner \(owner.rawValue)"] + lines(function)
        if let virtual {
            all += ["vfs \(virtual.count)", "autoprobe \(virtual.probes)"] + virtual.functions.flatMap(lines)
        }
        return (all + ["end"]).joined(separator: "\n") + "\n"
    }

    /// Reads what ``text`` wrote; nil where that is not whole.
    init?(text: String) {
        let lines = text.split(separator: "\n")
        guard lines.first == BindingRecord.head[...], lines.last == "end" else { return nil }
        var functions: [DriverState] = []
        var (boot, owner): (String?, Owner?) = (nil, nil)
        var virtual: VirtualFunctions?
        for line in lines.dropFirst().dropLast() {
            let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count == 2 ? String(parts[1]) : ""
            let last = functions.indices.last
            switch (parts[0], last) {
            case ("boot", _): boot = value
            case ("owner", _): owner = Owner(rawValue: value)
            case ("function", _):
                guard let address = PCIAddress(value) else { return nil }
                functions.append(DriverState(address))
            case ("driver", let last?): functions[last].driver = value
            case ("override", let last?): functions[last].override = value
            case ("vfs", _):
                guard let count = Int(value) else { return nil }
                virtual = VirtualFunctions(count: count)
            case ("autoprobe", _): virtual?.probes = value
            default: return nil
            }
        }
        guard let first = functions.first, let boot, let owner else { return nil }
        function = first
        virtual?.functions = Array(functions.dropFirst())
        self.virtual = virtual
        self.boot = boot
        self.owner = owner
    }
}

extension Kernel {
    /// What a file of one line holds, without its end.
    func attribute(_ path: String) throws(Failure) -> String {
        do throws(Errno) {
            let text = try contents(of: path)
            return text.hasSuffix("\n") ? String(text.dropLast()) : text
        } catch { throw Failure("read", error, object: path) }
    }

    /// The same; nil where there is no such file.
    func attributeIfThere(_ path: String) throws(Failure) -> String? {
        do throws(Failure) { return try attribute(path) } catch {
            guard error.errno == .noEntry else { throw error }
            return nil
        }
    }

    /// The virtual functions that a function has now.
    func virtualFunctions(of address: PCIAddress) -> [PCIAddress] {
        let path = PCIFunction.path(address)
        let links = ((try? list(path)) ?? []).filter { $0.hasPrefix("virtfn") }
        return links.compactMap { try? readlink("\(path)/\($0)") }
            .compactMap { $0.split(separator: "/").last.flatMap { PCIAddress(String($0)) } }.sorted()
    }
}
