import CKernel
import FoundationEssentials
import Glibc
public import Kernel

/// The guest's file system, made for one run: this program, the libraries that it has loaded, providers of libibverbs,
/// and the files of the job. It has nothing else of the host.
public struct GuestImage {
    /// Path of the program in the image.
    public static let program = "/usr/bin/peerlab"
    /// Path of the stdlib in the image, which the program finds relative to itself.
    public static let stdlib = "/usr/share/peerlab/stdlib"
    /// Providers of libibverbs: for software devices, and for the emulated hardware.
    private static let providers = ["rxe", "siw", "mlx5"]
    /// Limits of a folder of modules, so that no home directory is copied by mistake.
    static let mostFiles = 2000, mostEntries = 20000, mostBytes = 32 << 20

    private var archive = CPIOArchive()
    /// Folders of libraries, for the dynamic linker.
    private var libraries: [String] = []
    private var appended: [[UInt8]] = []
    /// Files left out of the image, with the reason: one sentence each.
    public private(set) var notes: [String] = []

    /// An image with this program and `stdlib`, its folders of Lua modules.
    public init(stdlib: [String]) throws(Failure) {
        guard let program = LabFile.contents(of: "/proc/self/exe") else {
            throw Failure("read", Errno(errno), object: "/proc/self/exe")
        }
        archive.file(GuestImage.program, ELFFile.withoutSymbols(program), isExecutable: true)
        for path in GuestImage.loadedLibraries() { try addLibrary(path) }
        try addProviders()
        for folder in ["/proc", "/sys", "/run", "/tmp", "/root"] { archive.folder(folder) }
        archive.file("/etc/passwd", Array("root:x:0:0:root:/root:/bin/sh\n".utf8))
        archive.file("/etc/hosts", Array("127.0.0.1 localhost\n".utf8))
        for folder in stdlib { addModules(of: folder, at: GuestImage.stdlib) }
    }

    /// Environment variables that every program of the image needs.
    public var environment: [String] {
        ["PATH=/usr/bin:/usr/sbin:/bin:/sbin", "HOME=/root", "LD_LIBRARY_PATH=\(libraries.joined(separator: ":"))"]
    }

    /// Adds bytes as a file.
    public mutating func add(_ contents: [UInt8], at place: String) { archive.file(place, contents) }

    /// Adds a folder that may be empty.
    public mutating func add(folder place: String) { archive.folder(place) }

    /// Adds a user's archive of programs, unchanged. Where both have a path, the archive's file wins.
    public mutating func append(archive contents: [UInt8], from path: String) throws(Failure) {
        guard contents.starts(with: Array("07070".utf8)) else {
            throw Failure(
                "read", Errno(EINVAL), object: path, hint: "it is no cpio archive; scripts/lab/image makes one")
        }
        appended.append(contents)
    }

    /// Adds the Lua files in and below a folder, without symbolic links and names that begin with a dot.
    public mutating func addModules(of folder: String, at place: String) {
        var files = 0, entries = 0, bytes = 0
        var waiting = [""]
        while !waiting.isEmpty {
            let below = waiting.removeFirst()
            let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(below)")) ?? []
            entries += names.count
            for name in names.sorted() where !name.hasPrefix(".") {
                let path = "\(folder)/\(below)\(name)"
                var status = stat()
                guard lstat(path, &status) == 0 else { continue }
                if status.st_mode & S_IFMT == S_IFDIR { waiting.append("\(below)\(name)/") }
                guard status.st_mode & S_IFMT == S_IFREG, name.hasSuffix(".lua"),
                    let contents = LabFile.contents(of: path, limit: GuestImage.mostBytes)
                else { continue }
                files += 1
                bytes += contents.count
                guard files <= GuestImage.mostFiles, bytes <= GuestImage.mostBytes else { break }
                archive.file("\(place)/\(below)\(name)", contents)
            }
            guard files <= GuestImage.mostFiles, entries <= GuestImage.mostEntries, bytes <= GuestImage.mostBytes else {
                notes.append(
                    "\(folder) has too much in it (\(entries) entries seen): the guest does not have all its Lua files; "
                        + "put the scenario into a folder of its own")
                return
            }
        }
    }

    /// The image with its job.
    public func bytes(_ job: GuestJob) throws(Failure) -> [[UInt8]] {
        var archive = archive
        guard let text = try? JSONEncoder().encode(job) else {
            throw Failure("encode", Errno(EINVAL), object: "the guest's job")
        }
        archive.folder(job.directory)
        archive.file(GuestJob.path, Array(text))
        archive.finish()
        return [archive.bytes] + appended
    }

    // MARK: the program's own

    private mutating func addLibrary(_ path: String) throws(Failure) {
        guard let contents = LabFile.contents(of: path) else { throw Failure("read", Errno(errno), object: path) }
        archive.file(path, ELFFile.withoutSymbols(contents), isExecutable: true)
        let folder = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        if !libraries.contains(folder) { libraries.append(folder) }
    }

    /// The libraries of this process, by the paths at which the dynamic linker found them.
    private static func loadedLibraries() -> [String] {
        var buffer = [CChar](repeating: 0, count: 1 << 16)
        let count = min(guest_libraries(&buffer, buffer.count), buffer.count)
        return buffer[..<count].split(separator: 0).map {
            String(decoding: $0.map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
    }

    /// Adds providers: libibverbs looks for them in a folder beside itself, by the names in /etc/libibverbs.d.
    private mutating func addProviders() throws(Failure) {
        for folder in libraries {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(folder)/libibverbs")) ?? []
            for name in names {
                guard let provider = GuestImage.providers.first(where: { name.hasPrefix("lib\($0)-rdmav") }) else {
                    continue
                }
                try addLibrary("\(folder)/libibverbs/\(name)")
                archive.file("/etc/libibverbs.d/\(provider).driver", Array("driver \(provider)\n".utf8))
            }
        }
    }
}
