import Glibc
public import Kernel

/// A reason not to take a device from its driver.
public struct Objection: Sendable, CustomStringConvertible {
    /// The device.
    public let address: PCIAddress
    /// "the root file system is on it (sda1)"
    public let reason: String
    /// What to do instead.
    public let advice: String

    /// One line: device, reason, advice.
    public var description: String { "\(address) is not bound to vfio-pci: \(reason); \(advice)" }
}

/// Whether devices can do without their drivers: nothing that this machine needs may be on them.
public struct BindingCheck {
    private let kernel: any Kernel
    private let uses: MachineUses

    /// Looks at what the machine uses now.
    public init(kernel: any Kernel) throws(Failure) {
        self.kernel = kernel
        uses = try MachineUses(kernel: kernel)
    }

    /// All reasons not to bind these devices together; none for those that VFIO has already. `assumingDriver`: that vfio-pci is not
    /// loaded is none of them.
    public func objections(to addresses: [PCIAddress], assumingDriver: Bool = false) throws(Failure) -> [Objection] {
        var all: [Objection] = []
        for address in addresses {
            let function = try PCIFunction(address, kernel: kernel)
            guard !function.isVFIO else { continue }
            all += try driverObjections(to: function, assumingDriver)
            all += try groupObjections(to: function, among: addresses)
            for part in [address] + kernel.virtualFunctions(of: address) {
                all += try useObjections(to: part, as: address)
            }
        }
        return all
    }

    /// Block devices on a function of which it could not be found out whether anything uses them: this program may not open them.
    public func untried(_ address: PCIAddress) -> [String] { uses.untried(address) }

    private func driverObjections(to function: PCIFunction, _ assumingDriver: Bool) throws(Failure) -> [Objection] {
        func objection(_ reason: String, _ advice: String) -> [Objection] {
            [Objection(address: function.address, reason: reason, advice: advice)]
        }
        let code = try kernel.attribute("\(PCIFunction.path(function.address))/class")
        if code.hasPrefix("0x06") {
            return objection("it is a bridge (class \(code)), and others are behind it", "name the device behind it")
        }
        guard assumingDriver || hasFile("bind", DriverBinding.driver) else {
            let advice = KernelModules(kernel).loading([DriverBinding.driver]).joined(separator: "; ")
            return objection("this kernel has no driver vfio-pci loaded", advice)
        }
        if let driver = function.driver, !hasFile("unbind", driver) {
            return objection("its driver \(driver) cannot be unbound", "it stays where it is")
        }
        let noIOMMU = try kernel.attributeIfThere("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode")
        if function.group == nil, noIOMMU != "Y" {
            return objection("it has no IOMMU group", "is the IOMMU on (intel_iommu=on, firmware setup)?")
        }
        return []
    }

    private func hasFile(_ name: String, _ driver: String) -> Bool {
        (try? kernel.list("/sys/bus/pci/drivers/\(driver)"))?.contains(name) ?? false
    }

    /// VFIO gives no device to a program while a host driver has another of its IOMMU group.
    private func groupObjections(to function: PCIFunction, among addresses: [PCIAddress]) throws(Failure) -> [Objection]
    {
        let others = function.siblingsInUse(kernel: kernel).filter { !addresses.contains($0.address) }
        guard !others.isEmpty, let group = function.group else { return [] }
        let names = others.map { "\($0.address) (\($0.driver ?? "no driver"))" }.joined(separator: ", ")
        return [
            Objection(
                address: function.address, reason: "its IOMMU group \(group) has \(names) too, which host drivers have",
                advice: "name those as well, or unbind them")
        ]
    }

    private func useObjections(to part: PCIAddress, as address: PCIAddress) throws(Failure) -> [Objection] {
        let below = part == address ? "" : "its virtual function \(part): "
        if part != address {
            do throws(Failure) { try PCIFunction(part, kernel: kernel).checkUnused(kernel) } catch {
                guard error.errno == .busy else { throw error }
                let reason = "\(below)a program uses it through VFIO"
                return [Objection(address: address, reason: reason, advice: "end that first")]
            }
        }
        return uses.of(part).map { Objection(address: address, reason: below + $0.what, advice: $0.advice) }
    }
}
