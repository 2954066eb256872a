import ArgumentParser
import Glibc
import Runner

/// What a shell offers for words that only this program knows.
enum Completions {
    /// Scenarios: those that come with peerlab, and Lua files and folders here.
    @Sendable static func scenarios(_ words: [String], _ index: Int, _ prefix: String) -> [String] {
        files(prefix) + ShippedScenarios.all.map(\.name).filter { $0.hasPrefix(prefix) }
    }

    /// The same and folders, which a batch takes, for those that come with peerlab also by their kind.
    @Sendable static func batches(_ words: [String], _ index: Int, _ prefix: String) -> [String] {
        scenarios(words, index, prefix)
            + ShippedScenarios.Kind.allCases.map(\.rawValue).filter { $0.hasPrefix(prefix) }
    }

    /// Values of `--bench`.
    @Sendable static func benches(_ words: [String], _ index: Int, _ prefix: String) -> [String] {
        let library = Library(stdlib: ShippedFolders.stdlib(extra: []))
        return offered((["sim", "lab", "host"] + ShippedBench.all(library).map { "sim:\($0.name)" }), prefix)
    }

    /// Topics of `peerlab help`.
    @Sendable static func topics(_ words: [String], _ index: Int, _ prefix: String) -> [String] {
        offered(HelpTopics.all, prefix) + files(prefix)
    }

    /// The words that begin so. Behind a colon zsh expects a description.
    private static func offered(_ words: [String], _ prefix: String) -> [String] {
        let begun = words.filter { $0.hasPrefix(prefix) }
        return CompletionShell.requesting == .zsh ? begun.map { $0.replacing(":", with: "\\:") } : begun
    }

    /// Lua files, and folders with a slash, that begin with a path.
    private static func files(_ prefix: String) -> [String] {
        let folder = prefix.lastIndex(of: "/").map { String(prefix[...$0]) } ?? ""
        return names(inFolder: folder.isEmpty ? "." : folder).map { folder + $0 }.filter { $0.hasPrefix(prefix) }
            .compactMap { path in
                var status = stat()
                guard stat(path, &status) == 0 else { return nil }
                if status.st_mode & S_IFMT == S_IFDIR { return path + "/" }
                return path.hasSuffix(".lua") ? path : nil
            }.sorted()
    }
}
