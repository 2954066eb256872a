import Glibc

/// Folders that come with this program: below share/peerlab where it is installed, else those of the source tree around
/// it.
enum ShippedFolders {
    /// The path of this program.
    static func program() -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        guard count > 0 else { return CommandLine.arguments[0] }
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Folders with the stdlib, in order: `extra` (--lib), PEERLAB_STDLIB, those that come with this program.
    static func stdlib(extra: [String]) -> [String] {
        var folders = extra
        if let variable = getenv("PEERLAB_STDLIB") { folders.append(String(cString: variable)) }
        return folders.filter { access($0, R_OK) == 0 } + all("stdlib")
    }

    /// The first folder of that name that comes with this program ("scripts/scenarios"); nil where there is none.
    static func first(_ name: String) -> String? { all(name).first }

    /// A script of scripts/lab, as a user can start it: its path from the working folder where it is below that.
    static func labScript(_ name: String) -> String { "\(lab)/\(name)" }

    /// The folder of these scripts.
    static let lab = first("scripts/lab").map(fromHere) ?? "scripts/lab"

    /// A path from the working folder, where the file is below that.
    static func fromHere(_ path: String) -> String {
        guard let here = getcwd(nil, 0) else { return path }
        defer { free(here) }
        let folder = String(cString: here)
        return folder != "/" && path.hasPrefix(folder + "/") ? String(path.dropFirst(folder.count + 1)) : path
    }

    /// At most five folders above the program: a build's own are .build/x86_64-unknown-linux-gnu/release.
    private static func all(_ name: String) -> [String] {
        var folder = above(program())
        var folders = ["\(above(folder))/share/peerlab/\(name)"]
        for _ in 0..<5 {
            folders.append("\(folder)/\(name)")
            guard folder.contains("/") else { break }
            folder = above(folder)
        }
        return folders.filter { access($0, R_OK) == 0 }
    }

    /// The folder that a path is in, without a slash at its end.
    private static func above(_ path: String) -> String { path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "." }
}
