import Bindings
public import Devices
public import Kernel
public import LuaKit

/// Which devices a run binds to vfio-pci before it begins, and restores at its end.
public enum BindingChoice: Sendable, Equatable {
    /// These.
    case devices([PCIAddress])
    /// Devices that a scenario's options name, by address or id, and that no VFIO driver has yet.
    case automatic
}

/// Binds and restores devices, beside other peerlab processes of this machine: it never binds a device that another one
/// has bound, and never unbinds one that another one uses.
public struct DeviceBinder {
    private let kernel: any Kernel
    private let binding: DriverBinding
    private let isShared: Bool
    private let isInterrupted: () -> Bool
    private let emit: (String) -> Void

    /// - Parameters:
    ///   - folders: see ``BindingJournal``.
    ///   - isShared: whether other programs use the same kernel; false for a simulated one.
    ///   - emit: gets lines for the user.
    public init(
        kernel: any Kernel, folders: [String], isShared: Bool = true, isInterrupted: @escaping () -> Bool = { false },
        emit: @escaping (String) -> Void
    ) {
        self.kernel = kernel
        self.isShared = isShared
        self.isInterrupted = isInterrupted
        self.emit = emit
        binding = DriverBinding(BindingJournal(folders: folders, kernel: kernel))
    }

    /// Binds all of them or none. Throws a "usage" error with the obstacle.
    /// - Parameter owner: see ``BindingRecord/owner``.
    public func bind(_ addresses: [PCIAddress], owner: BindingRecord.Owner) throws(ErrorValue) -> BoundDevices {
        let locks = try lock(addresses.map(DeviceBinder.lockName))
        var devices: [PCIFunction] = []
        for address in Set(addresses).sorted() { devices.append(try device(address, owner)) }
        var wanted: [PCIFunction] = []
        for device in devices {
            let record = try failing { () throws(Failure) in try binding.journal.record(of: device.address) }
            if device.isVFIO, record == nil {
                emit("\(device.address): \(device.driver ?? "") has it already, and keeps it")
            } else {
                wanted.append(device)
            }
        }
        try check(wanted.map(\.address))
        let groups = try lock(DeviceLocks.names(wanted.map(\.address), nic: nil, from: wanted))
        defer { withExtendedLifetime(groups) {} }
        let bound = BoundDevices(locks)
        for device in wanted {
            do throws(Failure) {
                let record = try binding.bind(device.address, owner: owner)
                if record.owner == .run { bound.records.append(record) }
                emit(
                    "bound \(device.address) to \(DriverBinding.driver); \(record.function.driver ?? "no driver") had it"
                )
            } catch {
                for problem in undo(bound) { emit(problem) }
                throw error.luaError
            }
        }
        return bound
    }

    private func device(_ address: PCIAddress, _ owner: BindingRecord.Owner) throws(ErrorValue) -> PCIFunction {
        do throws(Failure) { return try PCIFunction(address, kernel: kernel) } catch {
            throw ErrorValue(kind: .usage, "cannot bind \(address): \(error.message)")
        }
    }

    private func check(_ addresses: [PCIAddress]) throws(ErrorValue) {
        guard !addresses.isEmpty else { return }
        let objections = try failing { () throws(Failure) in
            try BindingCheck(kernel: kernel).objections(to: addresses)
        }
        guard objections.isEmpty else {
            throw ErrorValue(kind: .usage, objections.map(\.description).joined(separator: "; "))
        }
    }

    private func failing<Value>(_ body: () throws(Failure) -> Value) throws(ErrorValue) -> Value {
        do throws(Failure) { return try body() } catch { throw error.luaError }
    }

    // MARK: Restoring

    /// Restores the devices that a run has bound; returns a line for each that could not be restored.
    public func restore(_ bound: BoundDevices) -> [String] {
        guard !bound.records.isEmpty else { return [] }
        do throws(ErrorValue) {
            let functions = bound.records.compactMap { try? PCIFunction($0.function.address, kernel: kernel) }
            let groups = try lock(DeviceLocks.names(functions.map(\.address), nic: nil, from: functions))
            defer { withExtendedLifetime(groups) {} }
            return undo(bound)
        } catch {
            return bound.records.map { "\($0.function.address) is still bound (\(error.message)); `peerlab restore`" }
        }
    }

    private func undo(_ bound: BoundDevices) -> [String] {
        var problems: [String] = []
        while let record = bound.records.popLast() {
            do throws(Failure) {
                try restore(record)
            } catch {
                problems.append(
                    "\(record.function.address) is still bound (\(error.message)); `peerlab restore` tries again")
            }
        }
        return problems
    }

    private func restore(_ record: BindingRecord) throws(Failure) {
        let address = record.function.address
        if try binding.restore(record) {
            emit("restored \(address): \(record.function.driver ?? "no driver") has it")
        } else {
            emit("\(address): bound before the machine was started anew; nothing to undo")
        }
    }

    /// The devices with a journal.
    public func pending() throws(ErrorValue) -> [PCIAddress] {
        try failing { () throws(Failure) in try binding.journal.addresses() }
    }

    /// What restoring one of ``pending()`` would do, in a line.
    public func description(of address: PCIAddress) throws(ErrorValue) -> String {
        let record = try failing { () throws(Failure) in try binding.journal.record(of: address) }
        guard let record else { return "\(address): no journal" }
        let now = (try? PCIFunction(address, kernel: kernel)).map { $0.driver ?? "no driver" } ?? "is not here"
        let virtual = record.virtual.map { $0.count > 0 ? ", \($0.count) virtual functions" : "" } ?? ""
        let owner = isFree(address) ? record.owner == .run ? "a run that ended early" : "peerlab bind" : "a run"
        return "\(address): \(now), was \(record.function.driver ?? "no driver")\(virtual); bound by \(owner)"
    }

    private func isFree(_ address: PCIAddress) -> Bool {
        if let lock = try? lockIfFree(address) {
            _ = consume lock
            return true
        }
        return false
    }

    /// Restores a device by its journal, unless a living peerlab process will do so.
    public func restore(_ address: PCIAddress) throws(ErrorValue) {
        guard let lock = try lockIfFree(address) else {
            throw ErrorValue(
                kind: .usage, "\(address) is in use by a peerlab that runs, which brings it back when it ends")
        }
        defer { withExtendedLifetime(lock) {} }
        guard let record = try failing({ () throws(Failure) in try binding.journal.record(of: address) }) else {
            throw ErrorValue(kind: .usage, "\(address): there is no journal of it, so nothing to undo")
        }
        let function = try? PCIFunction(address, kernel: kernel)
        let functions = [function].compactMap { $0 }
        let group = try self.lock(DeviceLocks.names(functions.map(\.address), nic: nil, from: functions))
        defer { withExtendedLifetime(group) {} }
        try failing { () throws(Failure) in try restore(record) }
    }

    /// Removes a journal and leaves the device as it is.
    public func forget(_ address: PCIAddress) throws(ErrorValue) {
        try failing { () throws(Failure) in try binding.journal.remove(address) }
        emit("\(address): forgotten; its driver stays as it is")
    }

    // MARK: Locks

    static func lockName(_ address: PCIAddress) -> String { "bind-\(address)" }

    private func lockIfFree(_ address: PCIAddress) throws(ErrorValue) -> DeviceLocks? {
        isShared ? try DeviceLocks(ifFree: DeviceBinder.lockName(address)) : try lock([])
    }

    private func lock(_ names: [String]) throws(ErrorValue) -> DeviceLocks {
        try DeviceLocks(
            isShared ? names : [], isInterrupted: isInterrupted,
            waiting: { emit("waits for \($0), which another peerlab has") })
    }
}

/// Devices that a run has bound. While this exists, no other process restores them.
public final class BoundDevices {
    fileprivate var records: [BindingRecord] = []
    private let locks: DeviceLocks

    fileprivate init(_ locks: consuming DeviceLocks) { self.locks = locks }
}
