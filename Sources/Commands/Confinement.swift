import CKernel
import Glibc
import Kernel
public import Runner

/// Drops, for good, the rights that a run does not need, before the first line of a script runs: code that breaks out
/// of Lua is then in a process that can do almost nothing. See CKernel/sandbox.h.
public struct Confinement {
    private let isSimulated: Bool
    private let readable: [String]
    private let devices: [String]
    private let replaceable: [String]
    /// Folders in which files are written in place.
    private var writable: [String] = []
    private let port: UInt16?
    private let memory: UInt64
    /// Whether lines that the user edits are read from the terminal.
    public var readsTerminal = false
    /// Wall-clock limit of scripts in seconds; nil for none.
    public var time: Double?

    /// The largest file that the process may write, such as a trace, in bytes.
    public static let longestFile: UInt64 = 4 << 30
    /// Memory that this program, or the simulated bench, may use beside the scripts' share, in bytes.
    public static let modelMemory: UInt64 = 1 << 30

    /// For a simulated bench: only the scripts' folders are accessible.
    /// - Parameters:
    ///   - files: scripts; files beside them may be read.
    ///   - outputs: files that will be replaced by a rename.
    ///   - memory: limit of the scripts, in bytes.
    public init(simulated files: [String], _ library: Library, outputs: [ResultFile] = [], memory: UInt64) {
        isSimulated = true
        readable = Confinement.scripts(files) + library.folders
        devices = []
        replaceable = outputs.compactMap(\.folder)
        port = nil
        self.memory = memory
    }

    /// For a command that only works on files.
    /// - Parameters:
    ///   - paths: files that may be read, and folders with everything in them.
    ///   - writable: folders whose files may be created, written and removed.
    ///   - replaceable: folders in which files may be renamed and removed.
    public init(reading paths: [String], writable: [String] = [], replaceable: [String] = []) {
        isSimulated = true
        readable = paths
        devices = []
        self.replaceable = replaceable + writable
        self.writable = writable
        port = nil
        memory = 0
    }

    /// For a real kernel: its devices are accessible, and of the other files those that libibverbs reads. `granted` are
    /// the devices that scripts may use; nil for all. `binds`: another process binds devices for the run. `isRaw`:
    /// scripts may open any file.
    public init(
        real files: [String], _ library: Library, insideLab: Bool, granted: Set<String>?, outputs: [ResultFile] = [],
        port: UInt16?, binds: Bool = false, isRaw: Bool = false, memory: UInt64 = 0
    ) {
        isSimulated = false
        let loaders = getenv("LD_LIBRARY_PATH").map { String(cString: $0).split(separator: ":").map(String.init) } ?? []
        let resolver = ["hosts", "resolv.conf", "nsswitch.conf", "host.conf", "gai.conf", "services"].map {
            "/etc/\($0)"
        }
        readable =
            Confinement.scripts(files) + library.folders + loaders + (port == nil ? [] : resolver) + [
                "/sys", "/proc/self", "/proc/sys/kernel", "/proc/kallsyms", "/proc/config.gz",
                "/usr/lib", "/usr/local/lib", "/usr/lib64",
                "/lib", "/lib64",
                "/etc/libibverbs.d", "/etc/ld.so.cache", DeviceLocks.folder,
            ]
        // Devices that are bound later have no nodes yet, so their whole folder is granted.
        let used =
            (binds ? ["/dev/vfio"] : [])
            + (granted.map { $0.flatMap(Confinement.nodes) + ["/dev/vfio/vfio"] } ?? ["/dev/vfio", "/dev/infiniband"])
        // In the lab's guest, a script with the right `raw` may use the whole machine: it is a disposable one.
        let all = insideLab && isRaw
        devices =
            all ? ["/dev", "/sys", "/proc"] : ["/dev/iommu", "/dev/udmabuf", "/dev/dma_heap", "/dev/null"] + used
        replaceable = outputs.compactMap(\.folder) + [DeviceLocks.folder]
        self.port = port
        self.memory = memory
    }

    /// The nodes of a device: VFIO's own and its group's, and an RDMA device's verbs.
    private static func nodes(of device: String) -> [String] {
        let function = "/sys/bus/pci/devices/\(device)"
        var group = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = max(0, readlink("\(function)/iommu_group", &group, group.count))
        let number = String(decoding: group[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self).split(
            separator: "/")
        return names(inFolder: "\(function)/vfio-dev").map { "/dev/vfio/devices/\($0)" }
            + (number.last.map { ["/dev/vfio/\($0)"] } ?? [])
            + names(inFolder: "/sys/class/infiniband/\(device)/device/infiniband_verbs").map { "/dev/infiniband/\($0)" }
    }

    /// Paths that may be opened; the bindings check scripts against them too.
    public var paths: [String] {
        (readable + devices).compactMap { path in
            guard let resolved = realpath(path, nil) else { return nil }
            defer { free(resolved) }
            let text = String(cString: resolved)
            return text.hasPrefix("/proc/") && !text.hasPrefix("/proc/sys/") ? nil : text
        }
    }

    /// Scripts and their folders, without folders of special files: `peerlab run /dev/stdin`.
    private static func scripts(_ files: [String]) -> [String] {
        files.flatMap { file in
            let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? "."
            return folder.hasPrefix("/dev/") || folder.hasPrefix("/proc/") ? [file] : [file, folder]
        }
    }

    /// Takes effect from here on. Call it while this process has one thread.
    public func apply() -> Sandbox {
        if memory > 0 { _ = sandbox_limit(SANDBOX_MEMORY, memory) }
        _ = sandbox_limit(SANDBOX_FILE_SIZE, Confinement.longestFile)
        if let time { _ = sandbox_limit(SANDBOX_CPU_TIME, Confinement.processorTime(time)) }
        var missing: [String] = []
        let version = files()
        if version < 0 { missing.append("files, for landlock: \(Confinement.reason(version))") }
        var calls: UInt32 = isSimulated ? 0 : UInt32(SANDBOX_DEVICES.rawValue)
        if port != nil { calls |= UInt32(SANDBOX_SOCKETS.rawValue) }
        if !replaceable.isEmpty { calls |= UInt32(SANDBOX_RESULTS.rawValue) }
        if !writable.isEmpty { calls |= UInt32(SANDBOX_WRITING.rawValue) }
        if readsTerminal { calls |= UInt32(SANDBOX_TERMINAL.rawValue) }
        let filter = sandbox_filter(calls)
        if filter < 0 { missing.append("calls, for seccomp: \(Confinement.reason(filter))") }
        return Sandbox(seccomp: filter == 0, landlock: max(0, version), missing: missing)
    }

    /// The limit of processor time in seconds: that of all processors for `time`, and a minute more. The kernel ends a
    /// process that the program's own clock could not end.
    private static func processorTime(_ time: Double) -> UInt64 {
        UInt64(time + 60) * UInt64(max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    }

    /// Landlock's version, or a negated errno.
    private func files() -> Int {
        let rules = sandbox_rules()
        guard rules >= 0 else { return rules }
        let descriptor = Int32(truncatingIfNeeded: rules)
        defer { close(descriptor) }
        func allow(_ paths: [String], _ access: sandbox_access) {
            // Paths that do not exist need no rule.
            for path in Set(paths) { _ = sandbox_allow(descriptor, path, UInt32(access.rawValue)) }
        }
        allow(readable, SANDBOX_READ)
        allow(devices, SANDBOX_READ)
        allow(devices, SANDBOX_WRITE)
        allow(replaceable, SANDBOX_REPLACE)
        allow(writable, SANDBOX_WRITE)
        if let port { _ = sandbox_allow_port(descriptor, port) }
        let result = sandbox_restrict(descriptor)
        return result < 0 ? result : sandbox_landlock()
    }

    private static func reason(_ result: Int) -> String {
        guard let errno = Errno(result: result) else { return "" }
        return ["ENOSYS", "EOPNOTSUPP", "EINVAL"].contains(errno.name)
            ? "this kernel has none (\(errno.name))" : "\(errno.message) (\(errno.name))"
    }
}
