import Kernel

/// The options that the running kernel was built with.
struct KernelConfig {
    /// Where they were read: "/proc/config.gz".
    let path: String
    private let values: [Substring: Substring]

    /// Bytes of the longest packed and unpacked file that is read: those of a distribution have less than a tenth.
    private static let longest = (packed: 1 << 20, text: 4 << 20)

    /// nil where they are in no file that can be read: /proc/config.gz is the kernel's own (CONFIG_IKCONFIG_PROC), others are what its
    /// distribution left.
    init?(_ kernel: any Kernel) {
        let packed = "/proc/config.gz"
        if let bytes = try? kernel.bytes(of: packed, limit: KernelConfig.longest.packed),
            let text = GZip.unpacked(bytes, limit: KernelConfig.longest.text)
        {
            self.init(text, packed)
            return
        }
        guard let release = try? kernel.attribute("/proc/sys/kernel/osrelease") else { return nil }
        let paths = [
            "/boot/config-\(release)", "/lib/modules/\(release)/config", "/lib/modules/\(release)/build/.config",
        ]
        for path in paths {
            guard let text = try? kernel.bytes(of: path, limit: KernelConfig.longest.text) else { continue }
            self.init(text, path)
            return
        }
        return nil
    }

    /// nil where the file has no option that is set: then it is another one.
    private init?(_ bytes: [UInt8], _ path: String) {
        let unset = " is not set"
        var values: [Substring: Substring] = [:]
        var isAnySet = false
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            if line.hasPrefix("CONFIG_"), let equals = line.firstIndex(of: "=") {
                values[line[..<equals].dropFirst(7)] = line[line.index(after: equals)...]
                isAnySet = true
            } else if line.hasPrefix("# CONFIG_"), line.hasSuffix(unset) {
                values[line.dropFirst(9).dropLast(unset.count)] = "n"
            }
        }
        guard isAnySet else { return nil }
        self.path = path
        self.values = values
    }

    /// "y" (built in), "m" (a module), another value, or "n": an option without a line is one that others which are not set rule out,
    /// or that this kernel does not know.
    subscript(option: String) -> String { values[option[...]].map(String.init) ?? "n" }

    /// Whether a line says that it is not set, which tells it from one that older kernels do not know.
    func isSwitchedOff(_ option: String) -> Bool { values[option[...]] == "n" }
}
