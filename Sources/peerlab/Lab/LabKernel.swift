import ArgumentParser
import Glibc
import Runner

/// The kernel that the lab boots, and its modules.
struct LabKernel {
    /// Values of `--lab-kernel` for kernels that scripts/lab/unpack-kernel unpacks.
    static let packaged = ["debian", "running"]

    /// Path of its image.
    let image: String
    /// Files of its own modules, each after those that it depends on; for a kernel that was not built here.
    private(set) var modules: [String] = []
    /// The folder of modules built for it here; nil where none can be built.
    private(set) var folder: String?
    /// Configuration that it lacks for tests of peer-to-peer access; nil where it has all, or where unknown.
    private(set) var lack: String?

    /// `name`: a file's path, or one of ``packaged``, which is looked for in `cache`.
    init(_ name: String?, cache: String = LabSetup.cache) throws(ValidationError) {
        guard let name, LabKernel.packaged.contains(name) else {
            image = name ?? LabSetup.builtKernel
            folder = LabSetup.builtModules
            return
        }
        let place = LabKernel.place(name, cache)
        image = "\(place)/bzImage"
        guard access(image, R_OK) == 0, let release = LabKernel.lines(of: "\(place)/release").first else {
            throw ValidationError(
                "--lab-kernel \(name) is not there yet: \(ShippedFolders.labScript("unpack-kernel")) \(name) gets it")
        }
        var system = utsname()
        uname(&system)
        let now = withUnsafeBytes(of: system.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        guard name != "running" || now == release else {
            throw ValidationError(
                "--lab-kernel running: \(release) is what was unpacked, and \(now) runs now: "
                    + "\(ShippedFolders.labScript("unpack-kernel")) running gets it")
        }
        modules = LabKernel.lines(of: "\(place)/modules").map { "\(place)/\($0)" }
        let lacks = LabKernel.lines(of: "\(place)/lacks").map { "no \($0)" }
        if !lacks.isEmpty { lack = "Linux \(release) has \(lacks.joined(separator: " and "))" }
    }

    /// Checks that its image can be read. Called once all options are parsed.
    func check() throws(ValidationError) {
        guard access(image, R_OK) == 0 else {
            throw ValidationError(
                "the lab bench has no kernel image at \(image): name one with --lab-kernel FILE or "
                    + "PEERLAB_LAB_KERNEL; \(ShippedFolders.labScript("build-kernel")) makes one, \(ShippedFolders.labScript("unpack-kernel")) gets Debian's"
            )
        }
    }

    /// The path that a value of `--lab-kernel` means.
    static func file(_ name: String) -> String {
        packaged.contains(name) ? "\(place(name, LabSetup.cache))/bzImage" : name
    }

    private static func place(_ name: String, _ cache: String) -> String { "\(cache)/kernels/\(name)" }

    private static func lines(of path: String) -> [String] {
        let text = try? InputFile.text(of: path, limit: 1 << 16)
        return (text ?? "").split(separator: "\n").map(String.init)
    }
}
