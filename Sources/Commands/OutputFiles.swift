import ArgumentParser
import Glibc
import Kernel
public import Runner

/// All files that a command writes, checked together before anything is run or opened for writing. None may be a file
/// that the command reads, even by another path, and no two may be the same file.
public struct OutputFiles {
    private var inputs: [(identity: ResultFile.Identity, name: String)] = []
    private var folders: [String] = []
    private var outputs: [(identity: ResultFile.Identity, option: String)] = []

    /// No inputs and no outputs.
    public init() {}

    /// Adds a file that is read ("the scenario", "the record"). For a folder, each Lua file in and below it.
    public mutating func read(_ what: String, _ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            folders.append(path)
        } else if status.st_mode & S_IFMT == S_IFREG {
            inputs.append((ResultFile.Identity(status), "\(what) \(path)"))
        }
    }

    /// Adds scripts, and the modules that may lie beside them.
    public mutating func read(scripts: [String]) {
        for path in scripts {
            read("the scenario", path)
            let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
            // Folders of special files are left out: `peerlab run /dev/stdin`.
            if !folder.hasPrefix("/dev/"), !folder.hasPrefix("/proc/") { folders.append(folder) }
        }
    }

    /// Adds what a batch's paths select: files, folders and patterns.
    public mutating func read(batch paths: [String]) {
        for path in paths {
            var status = stat()
            if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
                folders.append(path)
            } else if stat(path, &status) == 0 {
                read(scripts: [path])
            } else {
                let plain = path.prefix { !"*?[".contains($0) }
                folders.append(plain.lastIndex(of: "/").map { String(plain[...$0]) } ?? ".")
            }
        }
    }

    /// Adds a file that is written, by the name of its option; nil for none. "-" is the descriptor `dash`.
    public mutating func write(_ option: String, _ path: String?, dash: Int32 = 1) throws -> ResultFile? {
        guard let path else { return nil }
        let file: ResultFile
        do throws(Failure) { file = try ResultFile(path == "-" ? "/dev/fd/\(dash)" : path) } catch {
            throw ValidationError("\(option): cannot write there: \(error.message)")
        }
        try claim(option, path, file)
        return file
    }

    /// Adds a file that is appended to, such as a journal.
    public mutating func append(_ option: String, _ path: String?) throws { _ = try write(option, path) }

    private mutating func claim(_ option: String, _ path: String, _ file: ResultFile) throws {
        guard let identity = file.identity else { return }
        if let input = inputs.last(where: { $0.identity == identity }) {
            throw ValidationError("\(option) \(path) is \(input.name), which would be lost: name another file")
        }
        if let other = outputs.first(where: { $0.identity == identity }) {
            throw ValidationError("'\(path)' is named for two things, \(other.option) and \(option)")
        }
        outputs.append((identity, option))
        guard !file.isModule(below: folders) else {
            throw ValidationError(
                "\(option) \(path) is a Lua file that a scenario may load, which would be lost: name another file")
        }
    }
}
