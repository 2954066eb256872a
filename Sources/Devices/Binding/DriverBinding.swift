import Glibc
public import Kernel

/// Gives devices to vfio-pci and brings them back. Every step can be repeated from wherever an earlier attempt ended.
public struct DriverBinding {
    /// The driver that devices are given to.
    public static let driver = "vfio-pci"

    private let kernel: any Kernel
    /// What has to be undone.
    public let journal: BindingJournal

    /// `journal` and this work on the same kernel.
    public init(_ journal: BindingJournal) {
        self.journal = journal
        kernel = journal.kernel
    }

    /// Binds a function that nothing objects to (``BindingCheck``), having written down how it was. What fails is undone.
    /// - Parameter owner: see ``BindingRecord/owner``. What an earlier attempt has written down of the same boot
    ///   stays; where the user binds it now, it is the user's.
    public func bind(_ address: PCIAddress, owner: BindingRecord.Owner) throws(Failure) -> BindingRecord {
        let boot = try BindingRecord.currentBoot(kernel)
        let written = try journal.record(of: address)
        var before: BindingRecord
        if let written, written.boot == boot {
            before = written
        } else {
            before = try BindingRecord(of: address, owner: owner, kernel: kernel)
        }
        if owner == .user { before.owner = .user }
        if before != written { try journal.write(before) }
        do throws(Failure) {
            try take(address)
        } catch {
            throw undo(before, after: error)
        }
        return before
    }

    private func bound(_ address: PCIAddress) -> DriverState {
        var state = DriverState(address)
        state.driver = DriverBinding.driver
        state.override = DriverBinding.driver
        return state
    }

    private func take(_ address: PCIAddress) throws(Failure) {
        let path = PCIFunction.path(address)
        // Unbinding some drivers leaves virtual functions behind. Writing 0 removes them whatever the driver.
        if let count = try kernel.attributeIfThere("\(path)/sriov_numvfs"), count != "0" {
            try kernel.store("0", in: "\(path)/sriov_numvfs")
        }
        try put(bound(address), replacing: { _ in true })
    }

    private func undo(_ record: BindingRecord, after failure: Failure) -> Failure {
        do throws(Failure) {
            try restore(record)
            return failure
        } catch {
            let hint = failure.hint.map { "\($0); " } ?? ""
            return Failure(
                failure.operation, failure.errno, object: failure.object, request: failure.request,
                hint: "\(hint)and it is not back as it was, \(error.message); `peerlab restore` tries again")
        }
    }

    /// Brings a device, and its virtual functions, back to what the record says and removes the record. False where that is
    /// of an earlier boot: there is nothing to undo then.
    @discardableResult
    public func restore(_ record: BindingRecord) throws(Failure) -> Bool {
        let isOfThisBoot = try record.boot == BindingRecord.currentBoot(kernel)
        if isOfThisBoot {
            // A driver that is neither's was somebody's decision.
            try put(record.function, replacing: { $0 == DriverBinding.driver })
            try restoreVirtualFunctions(of: record)
        }
        try journal.remove(record.function.address)
        return isOfThisBoot
    }

    private func restoreVirtualFunctions(of record: BindingRecord) throws(Failure) {
        guard let virtual = record.virtual else { return }
        let path = PCIFunction.path(record.function.address)
        let probes = try kernel.attributeIfThere("\(path)/sriov_drivers_autoprobe") ?? ""
        if probes != virtual.probes { try kernel.store(virtual.probes, in: "\(path)/sriov_drivers_autoprobe") }
        guard virtual.count > 0 else { return }
        if try kernel.attribute("\(path)/sriov_numvfs") != "\(virtual.count)" {
            try kernel.store("\(virtual.count)", in: "\(path)/sriov_numvfs")
        }
        for state in virtual.functions { try put(state, replacing: { _ in true }) }
    }

    /// Makes a function's driver and override what they should be, if the driver it has may be replaced.
    private func put(_ state: DriverState, replacing mayReplace: (String) -> Bool) throws(Failure) {
        let now = try DriverState(state.address, kernel: kernel)
        let name = "\(state.address)"
        if let driver = now.driver, driver != state.driver, !mayReplace(driver) {
            throw Failure(
                "restore", .busy, object: name,
                hint: "\(driver) has it by now, which peerlab did not bind; unbind it, or let it be so with "
                    + "`peerlab restore --forget \(name)`")
        }
        if now.override != state.override {
            // An empty line clears it. drivers/base/dd.c:__device_set_driver_override
            let text = state.override ?? "\n"
            try kernel.store(text, in: "\(PCIFunction.path(state.address))/driver_override", hint: DriverBinding.hint)
        }
        guard now.driver != state.driver else { return }
        if let driver = now.driver {
            try waitUntilUnused(PCIFunction(state.address, kernel: kernel))
            try kernel.store(name, in: "/sys/bus/pci/drivers/\(driver)/unbind", hint: DriverBinding.hint)
        }
        if let driver = state.driver { try attach(state.address, to: driver) }
    }

    /// A run that was killed may still be closing what it had open.
    private func waitUntilUnused(_ function: PCIFunction) throws(Failure) {
        for _ in 0..<40 {
            do throws(Failure) { return try function.checkUnused(kernel) } catch {
                guard error.errno == .busy, kernel.sleep(nanoseconds: 50_000_000) >= 0 else { throw error }
            }
        }
        try function.checkUnused(kernel)
    }

    private func attach(_ address: PCIAddress, to driver: String) throws(Failure) {
        do throws(Failure) {
            try kernel.store("\(address)", in: "/sys/bus/pci/drivers/\(driver)/bind") { errno in
                errno == .noEntry
                    ? "the driver \(driver) is not loaded: modprobe \(driver), then try again"
                    : errno == .noDevice ? "\(driver) does not take this device" : DriverBinding.hint(errno)
            }
        } catch {
            // A new virtual function's driver may just have come by itself. drivers/base/dd.c:device_initial_probe
            guard error.errno == .busy, try DriverState(address, kernel: kernel).driver == driver else { throw error }
        }
    }

    private static func hint(_ errno: Errno) -> String? {
        Refusal.hint(of: .driverFile, errno)
    }
}

extension PCIFunction {
    /// VFIO waits, for as long as it takes, until nobody has a device open that it shall let go of
    /// (drivers/vfio/vfio_main.c:vfio_unregister_group_dev). EBUSY instead of that.
    func checkUnused(_ kernel: any Kernel) throws(Failure) {
        guard isVFIO, let group else { return }
        let path = "/dev/vfio/\(group)"
        let result = kernel.open(path, flags: O_RDWR | O_CLOEXEC)
        if result >= 0 { _ = kernel.close(Int32(truncatingIfNeeded: result)) }
        if result == Errno.busy.result {
            throw Failure(
                "open", .busy, object: path,
                hint: "a program uses \(address), or another device of its group, through VFIO; it has to end first "
                    + "(`fuser -v /dev/vfio/*` shows it)")
        }
    }
}
