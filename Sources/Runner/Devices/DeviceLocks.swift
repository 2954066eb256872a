import Devices
import Glibc
import Kernel
import LuaKit

/// What a scenario uses of this machine, for itself alone: no other peerlab, of no other user, uses it meanwhile. Locks are
/// flock(2) on files in /run/lock, or in another folder where that cannot be written; the kernel lets go of them with the process.
public struct DeviceLocks: ~Copyable {
    private var descriptors: [Int32] = []

    /// Waits until all of `names` are free; `waiting` is told of the first one that is not. Always in the same order, so that
    /// nobody waits for somebody who waits for him.
    init(
        _ names: [String], isInterrupted: () -> Bool, waiting: (String) -> Void
    ) throws(ErrorValue) {
        for name in Set(names).sorted() {
            let descriptor = try DeviceLocks.file(name)
            descriptors.append(descriptor)
            guard flock(descriptor, LOCK_EX | LOCK_NB) != 0 else { continue }
            waiting(name)
            while flock(descriptor, LOCK_EX) != 0 {
                guard errno == EINTR, !isInterrupted() else {
                    for one in descriptors { close(one) }
                    throw ErrorValue(kind: .interrupt, "interrupted while waiting for \(name)")
                }
            }
        }
    }

    /// One alone, without waiting; nil where another one has it.
    init?(ifFree name: String) throws(ErrorValue) {
        descriptors = [try DeviceLocks.file(name)]
        guard flock(descriptors[0], LOCK_EX | LOCK_NB) == 0 else { return nil }
    }

    deinit { for descriptor in descriptors { close(descriptor) } }

    /// A function's whole IOMMU group, for none of its devices can be used beside another's user; a NIC's first port.
    static func names(_ addresses: [PCIAddress], nic: String?, from functions: [PCIFunction]) -> [String] {
        let devices = addresses.map { address in
            functions.first { $0.address == address }?.group.map { "iommu-group-\($0)" } ?? "pci-\(address)"
        }
        return devices + (nic.map { ["rdma-\($0)-1"] } ?? [])
    }

    /// Where files can be, the same for every user of a machine: the first that can be written, or made.
    private static let folders = ["/run/lock", "/tmp/peerlab.locks", "/dev/shm/peerlab.locks", "/run/peerlab.locks"]

    /// Where the files are; made where it is not there. The first of the places where none can be.
    public static var folder: String { folder(of: folders) ?? folders[0] }

    /// The first that can be written, or made.
    static func folder(of folders: [String]) -> String? {
        folders.first { folder in
            if access(folder, W_OK) == 0 { return true }
            // For every user, whatever the umask of the first is. A system's own folder is not made.
            guard folder.hasSuffix("/peerlab.locks"), mkdir(folder, 0o1777) == 0 else { return false }
            return chmod(folder, 0o1777) == 0
        }
    }

    private static func file(_ name: String) throws(ErrorValue) -> Int32 {
        guard let folder = DeviceLocks.folder(of: folders) else {
            throw ErrorValue(
                kind: .usage,
                "cannot lock \(name): none of \(folders.joined(separator: ", ")) can be written or made: make one of them"
            )
        }
        let path = "\(folder)/peerlab.\(name).lock"
        // Another user's file in a folder that everybody writes cannot be opened to be made (fs.protected_regular).
        // Nobody waits for the other end of what another user has made a FIFO.
        let flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK
        var descriptor = open(path, flags)
        if descriptor < 0, errno == ENOENT { descriptor = open(path, flags | O_CREAT, 0o644) }
        guard descriptor >= 0 else {
            throw ErrorValue(
                kind: .usage, "cannot lock \(name): \(path): \(Errno(errno).message) (\(Errno(errno).name))")
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw ErrorValue(kind: .usage, "cannot lock \(name): \(path) is no regular file: remove it")
        }
        return descriptor
    }
}
