import Devices
import Glibc
import Kernel
import LuaKit

/// Locks on the devices that a scenario uses, against other peerlab processes of any user. Locks are flock(2) on files
/// in /run/lock, or in another folder where that cannot be written; the kernel releases them when the process ends.
public struct DeviceLocks: ~Copyable {
    private var descriptors: [Int32] = []

    /// Waits until all of `names` are free; `waiting` is called with the first one that is not. Locks are taken in one
    /// order, so that no two processes wait for each other.
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

    /// Takes one lock without waiting; nil where another process has it.
    init?(ifFree name: String) throws(ErrorValue) {
        descriptors = [try DeviceLocks.file(name)]
        guard flock(descriptors[0], LOCK_EX | LOCK_NB) == 0 else { return nil }
    }

    deinit { for descriptor in descriptors { close(descriptor) } }

    /// Lock names: a function's whole IOMMU group, since its devices cannot be used by different users; a NIC's first
    /// port.
    static func names(_ addresses: [PCIAddress], nic: String?, from functions: [PCIFunction]) -> [String] {
        let devices = addresses.map { address in
            functions.first { $0.address == address }?.group.map { "iommu-group-\($0)" } ?? "pci-\(address)"
        }
        return devices + (nic.map { ["rdma-\($0)-1"] } ?? [])
    }

    /// Candidate folders, the same for every user of a machine.
    private static let folders = ["/run/lock", "/tmp/peerlab.locks", "/dev/shm/peerlab.locks", "/run/peerlab.locks"]

    /// The folder of the lock files, created where missing; the first candidate where none is usable.
    public static var folder: String { folder(of: folders) ?? folders[0] }

    /// The first folder that can be written, or created.
    static func folder(of folders: [String]) -> String? {
        folders.first { folder in
            if access(folder, W_OK) == 0 { return true }
            // Only our own folders are created, writable for every user whatever the umask.
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
        // Without O_CREAT: in a folder that everyone may write, opening another user's file with O_CREAT is refused
        // (fs.protected_regular). O_NONBLOCK: another user may have made the file a FIFO, and opening that would block.
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
