import CKernel
import Glibc
import Kernel
public import Runner

/// Gives up what a run does not need, for good, before the first line of a script: a script that breaks out of Lua finds a
/// process that can do nothing. See CKernel/sandbox.h.
public struct Confinement {
    private let isSimulated: Bool
    private let readable: [String]
    private let devices: [String]
    private let replaceable: [String]
    /// Folders in which files are written in place.
    private var writable: [String] = []
    private let port: UInt16?
    private let memory: UInt64
    /// Seconds of wall time that scripts have; nil without a limit.
    public var time: Double?

    /// The largest file that the process may write, such as a trace, bytes.
    public static let longestFile: UInt64 = 4 << 30
    /// Memory that this program, or the simulated bench, may take beside the scripts' share, bytes.
    public static let modelMemory: UInt64 = 1 << 30

    /// A simulated bench touches nothing but the scripts' folders.
    /// - Parameters:
    ///   - files: scripts; what is beside them may be read.
    ///   - outputs: what is renamed over what was there before.
    ///   - memory: bytes that scripts may have.
    public init(simulated files: [String], _ library: Library, outputs: [ResultFile] = [], memory: UInt64) {
        isSimulated = true
        readable = Confinement.scripts(files) + library.folders
        devices = []
        replaceable = outputs.compactMap(\.folder)
        port = nil
        self.memory = memory
    }

    /// Works on files alone.
    /// - Parameters:
    ///   - paths: what may be read: files, or folders with all that is in them.
    ///   - writable: folders whose files may be made, written and removed.
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

    /// A real kernel is used through its devices; of the rest of the machine what libibverbs reads is read.
    /// `granted` are the devices that scripts may use; nil for all. `binds` where devices are bound for the run, which
    /// another process does. `isRaw` where scripts may open any file.
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
                "/sys", "/proc/self", "/proc/sys/kernel", "/proc/kallsyms", "/usr/lib", "/usr/local/lib", "/usr/lib64",
                "/lib", "/lib64",
                "/etc/libibverbs.d", "/etc/ld.so.cache", DeviceLocks.folder,
            ]
        // Devices that are bound later get their nodes then.
        let used =
            (binds ? ["/dev/vfio"] : [])
            + (granted.map { $0.flatMap(Confinement.nodes) + ["/dev/vfio/vfio"] } ?? ["/dev/vfio", "/dev/infiniband"])
        // A guest of the lab is a machine of its own, and a script with every right changes all of it.
        let all = insideLab && isRaw
        devices =
            all ? ["/dev", "/sys", "/proc"] : ["/dev/iommu", "/dev/udmabuf", "/dev/dma_heap", "/dev/null"] + used
        replaceable = outputs.compactMap(\.folder) + [DeviceLocks.folder]
        self.port = port
        self.memory = memory
    }

    /// The files that a device is used through: a VFIO device's own and its group's, an RDMA device's verbs.
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

    /// What may be opened by path, for the bindings to hold scripts to as well.
    public var paths: [String] {
        (readable + devices).compactMap { path in
            guard let resolved = realpath(path, nil) else { return nil }
            defer { free(resolved) }
            let text = String(cString: resolved)
            return text.hasPrefix("/proc/") && !text.hasPrefix("/proc/sys/") ? nil : text
        }
    }

    /// Files and their folders, but not what the kernel shows as files: `peerlab run /dev/stdin`.
    private static func scripts(_ files: [String]) -> [String] {
        files.flatMap { file in
            let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? "."
            return folder.hasPrefix("/dev/") || folder.hasPrefix("/proc/") ? [file] : [file, folder]
        }
    }

    /// From here on. Call it while this process has one thread.
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
        let filter = sandbox_filter(calls)
        if filter < 0 { missing.append("calls, for seccomp: \(Confinement.reason(filter))") }
        return Sandbox(seccomp: filter == 0, landlock: max(0, version), missing: missing)
    }

    /// The limit of processor time, seconds: all processors for the time and a minute more. The kernel ends what the
    /// program's own clock could not.
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
