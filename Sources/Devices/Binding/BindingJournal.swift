import Glibc
public import Kernel

/// What has to be undone, on disk: a file for each device, named by its address. It is there, whole and flushed, before the
/// first write to sysfs, and goes away once all is as it was.
public struct BindingJournal {
    let kernel: any Kernel
    private let folders: [String]

    /// Journals are written into the first of `folders` that can be, and read from all. They are made where they are missing.
    public init(folders: [String], kernel: any Kernel) {
        self.kernel = kernel
        self.folders = folders
    }

    /// The device's record; nil where there is none. EINVAL for a file that is no whole record.
    public func record(of address: PCIAddress) throws(Failure) -> BindingRecord? {
        for folder in folders {
            let path = "\(folder)/\(address)"
            guard let text = try kernel.attributeIfThere(path) else { continue }
            guard let record = BindingRecord(text: text), record.function.address == address else {
                throw Failure(
                    "read", .invalid, object: path,
                    hint: "it is no journal of peerlab's, or a damaged one; look at the device's driver, then remove it"
                )
            }
            return record
        }
        return nil
    }

    /// The devices with a record, by address.
    public func addresses() throws(Failure) -> [PCIAddress] {
        var found: Set<PCIAddress> = []
        for folder in folders {
            do throws(Errno) {
                // One that was being written when its program was killed has another name: nothing was changed yet.
                for name in try kernel.list(folder) {
                    if let address = PCIAddress(name), "\(address)" == name { found.insert(address) }
                }
            } catch {
                guard error == .noEntry else { throw Failure("open", error, object: folder) }
            }
        }
        return found.sorted()
    }

    /// Writes a record, so that it outlives this program and the machine's power.
    func write(_ record: BindingRecord) throws(Failure) {
        var first: Failure?
        for folder in folders {
            do throws(Failure) {
                return try write(record, in: folder)
            } catch {
                first = first ?? error
            }
        }
        if let first {
            throw Failure(
                first.operation, first.errno, object: first.object,
                hint: "nothing is bound without a journal of what was before; XDG_STATE_HOME, or --state of "
                    + "peerlab bind, names another folder"
            )
        }
    }

    private func write(_ record: BindingRecord, in folder: String) throws(Failure) {
        try make(folder)
        let path = "\(folder)/\(record.function.address)"
        let new = "\(path).new"
        do {
            let file = try kernel.opened(new, flags: O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC)
            try kernel.write(record.text, to: file.raw, new)
            try kernel.checked("fsync", new, kernel.fsync(file.raw))
        }
        try kernel.checked("rename", new, kernel.rename(new, to: path))
        try flush(folder)
    }

    /// Forgets a device's record, in every folder.
    public func remove(_ address: PCIAddress) throws(Failure) {
        for folder in folders {
            let path = "\(folder)/\(address)"
            // A folder that cannot be written may be among them.
            guard try kernel.attributeIfThere(path) != nil else { continue }
            try kernel.checked("unlink", path, kernel.unlink(path))
            try flush(folder)
        }
    }

    private func make(_ folder: String) throws(Failure) {
        guard (try? kernel.list(folder)) == nil else { return }
        let above = folder.lastIndex(of: "/").map { String(folder[..<$0]) } ?? ""
        if !above.isEmpty { try make(above) }
        let result = kernel.mkdir(folder)
        guard result != Errno.exists.result else { return }
        try kernel.checked("mkdir", folder, result)
        try flush(above.isEmpty ? "/" : above)
    }

    /// A name is on the disk only when its folder is.
    private func flush(_ folder: String) throws(Failure) {
        let descriptor = try kernel.opened(folder, flags: O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        try kernel.checked("fsync", folder, kernel.fsync(descriptor.raw))
    }
}

extension Kernel {
    /// Throws the refusal that a result is.
    func checked(_ operation: String, _ object: String, _ result: Int) throws(Failure) {
        if let errno = Errno(result: result) { throw Failure(operation, errno, object: object) }
    }

    /// Writes all of a text, which is short.
    func write(_ text: String, to descriptor: Int32, _ object: String, hint: (Errno) -> String? = { _ in nil })
        throws(Failure)
    {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0) }
            if let errno = Errno(result: count) {
                throw Failure("write", errno, object: object, request: text, hint: hint(errno))
            }
            rest = rest.dropFirst(max(count, 1))
        }
    }

    /// Writes a text into a file of sysfs.
    func store(_ text: String, in path: String, hint: (Errno) -> String? = { _ in nil }) throws(Failure) {
        let result = open(path, flags: O_WRONLY | O_CLOEXEC)
        if let errno = Errno(result: result) {
            throw Failure("open", errno, object: path, request: text, hint: hint(errno))
        }
        let file = OwnedDescriptor(Int32(truncatingIfNeeded: result), self)
        try write(text, to: file.raw, path, hint: hint)
    }
}
