import Glibc

extension LabBench {
    /// The kernel to boot where the user names none: PEERLAB_LAB_KERNEL, or where scripts/lab/build-kernel leaves its own.
    static var builtKernel: String {
        variable("PEERLAB_LAB_KERNEL") ?? "\(cache)/bzImage"
    }

    /// Where the lab's kernel modules are: PEERLAB_LAB_MODULES, or where scripts/lab/build-modules leaves them.
    static var builtModules: String {
        variable("PEERLAB_LAB_MODULES") ?? "\(cache)/modules"
    }

    private static var cache: String {
        if let cache = variable("PEERLAB_CACHE") { return cache }
        let caches = variable("XDG_CACHE_HOME") ?? "\(variable("HOME") ?? "")/.cache"
        return "\(caches)/peerlab"
    }

    /// guest-init of the source tree or of the installation that our executable belongs to; nil if it is in neither.
    static var installedGuestInit: String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        guard count > 0 else { return nil }
        var directory = String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)[...]
        while let slash = directory.lastIndex(of: "/") {
            directory = directory[..<slash]
            for path in ["scripts/lab", "share/peerlab/lab"] where access("\(directory)/\(path)/guest-init", X_OK) == 0
            {
                return "\(directory)/\(path)/guest-init"
            }
        }
        return nil
    }

    /// An empty variable counts as none.
    private static func variable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
}
