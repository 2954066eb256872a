import CKernel
import Glibc

/// A QEMU of this machine: this system's, or one that `scripts/lab/qemu` has unpacked, which has its own C library.
public struct QEMU: Sendable, Equatable {
    /// Its program.
    public let path: String
    /// The folder that an unpacked one is in; nil for this system's.
    let root: String?

    /// The first in PATH; nil where there is none.
    public static var system: QEMU? {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        return path.split(separator: ":").map { QEMU(path: "\($0)/qemu-system-x86_64", root: nil) }.first {
            access($0.path, X_OK) == 0
        }
    }

    /// One that was unpacked into a folder; nil where none was.
    public static func unpacked(in folder: String) -> QEMU? {
        let path = "\(folder)/usr/bin/qemu-system-x86_64"
        return access(path, X_OK) == 0 ? QEMU(path: path, root: folder) : nil
    }

    /// Whether it has the device vfio-user-pci. The program file is searched for that name, as asking QEMU takes
    /// longer than starting a guest's kernel.
    public var takesDevices: Bool { root != nil || emulator_mentions(path, "vfio-user-pci") != 0 }

    /// Whether it takes /dev/kvm as a descriptor, known in the same way: by what its help says of that property.
    public var takesKVM: Bool { root != nil || emulator_mentions(path, "(default: /dev/kvm)") != 0 }

    /// The command that starts it in a process that has the unpacked folder as descriptor `number`. By the descriptor
    /// its files can be reached by a user who may not pass through the folders above.
    func command(_ number: Int32) -> (program: String, arguments: [String]) {
        guard root != nil else { return (path, []) }
        let folder = "/proc/self/fd/\(number)/usr"
        return (
            "\(folder)/lib64/ld-linux-x86-64.so.2",
            [
                "--inhibit-cache", "--library-path", "\(folder)/lib/x86_64-linux-gnu",
                "\(folder)/bin/qemu-system-x86_64", "-L", "\(folder)/share/qemu", "-L", "\(folder)/share/seabios",
            ]
        )
    }

    /// What it may read: programs, libraries and firmware.
    var folders: [String] {
        root.map { ["\($0)/usr"] } ?? [path, "/usr", "/lib", "/lib64", "/etc/ld.so.cache"] + installed
    }

    /// Where this system's has its firmware and modules, wherever it was installed or built; not what else is beside it, which
    /// may be somebody's home.
    private var installed: [String] {
        guard let resolved = realpath(path, nil) else { return [] }
        defer { free(resolved) }
        let path = String(cString: resolved)
        let folder = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
        let installed = ["share/qemu", "share/seabios", "lib/qemu", "lib64/qemu", "libexec/qemu"].map {
            "\(folder)/../\($0)"
        }
        return [path] + installed + ["pc-bios", "qemu-bundle"].map { "\(folder)/\($0)" }
    }
}
