import CKernel
import Glibc

/// A QEMU of this machine: this system's, or one that `scripts/lab/qemu` has unpacked, which comes with its own C
/// library.
public struct QEMU: Sendable, Equatable {
    /// Path of its program.
    public let path: String
    /// The folder of an unpacked one; nil for this system's.
    let root: String?

    /// The first in PATH; nil where there is none.
    public static var system: QEMU? {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        return path.split(separator: ":").map { QEMU(path: "\($0)/qemu-system-x86_64", root: nil) }.first {
            access($0.path, X_OK) == 0
        }
    }

    /// The one unpacked into a folder; nil for none.
    public static func unpacked(in folder: String) -> QEMU? {
        let path = "\(folder)/usr/bin/qemu-system-x86_64"
        return access(path, X_OK) == 0 ? QEMU(path: path, root: folder) : nil
    }

    /// Whether it has the device vfio-user-pci. The program file is searched for that name, which is faster than
    /// starting QEMU.
    public var takesDevices: Bool { root != nil || emulator_mentions(path, "vfio-user-pci") != 0 }

    /// Whether it accepts /dev/kvm as a descriptor: the program file is searched for the help text of that property.
    public var takesKVM: Bool { root != nil || emulator_mentions(path, "(default: /dev/kvm)") != 0 }

    /// The command that starts it in a process with the unpacked folder as descriptor `number`. Through the descriptor
    /// a user who may not pass through the parent folders can reach its files.
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

    /// Folders that it may read: programs, libraries and firmware.
    var folders: [String] {
        root.map { ["\($0)/usr"] } ?? [path, "/usr", "/lib", "/lib64", "/etc/ld.so.cache"] + installed
    }

    /// Folders of this system's firmware and modules, wherever it was installed or built; not other folders beside
    /// them, such as somebody's home.
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
