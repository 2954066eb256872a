import ArgumentParser
import Glibc
import Kernel
import Records
import Runner

/// `peerlab run BUNDLE`: a stranger's scenario.
struct BundleRun {
    private let folder: TemporaryFolder
    /// The scenario, on disk.
    let path: String
    /// What it is called.
    let name: String
    /// Its options.
    let settings: [String]
    /// The simulated bench that models what it was made on.
    let model: String?
    /// What was recorded: it describes a machine without a model of its own, and tells what a model's kernel had.
    let record: Record?

    /// nil where the file is no bundle. A stranger's scenario runs on simulated benches alone, unless it is trusted.
    init?(_ file: String, on options: BenchOptions) throws {
        // What cannot be read is told of by whoever reads it first.
        guard let text = try? InputFile.text(of: file, limit: InputFile.Limit.bundle), Bundle.isBundle(text) else {
            return nil
        }
        guard options.grants.trust || options.bench != "host" else {
            throw ValidationError(
                "\(file) is a bundle: what came by mail runs on simulated benches and in the lab; --trust lets it have --bench \(options.bench)"
            )
        }
        let bundle: Bundle
        do throws(RecordError) { bundle = try Bundle(parsing: text) } catch {
            throw ValidationError("\(file): \(error.text)")
        }
        guard let name = bundle["scenario"], name.hasSuffix(".lua"), bundle.file(name) != nil else {
            throw ValidationError("\(file): the bundle has no scenario, or one that is no .lua file")
        }
        self.name = name
        folder = try TemporaryFolder()
        path = folder.path(name)
        settings = bundle.all("set")
        model = [bundle["model"], bundle["bench"]].compactMap { $0 }.first { $0.hasPrefix("sim") }
        record = bundle.file("record").flatMap { try? Record(parsing: $0) }
        do { try write(bundle) } catch {
            folder.remove()
            throw error
        }
    }

    private func write(_ bundle: Bundle) throws {
        for file in bundle.files where file.name.hasSuffix(".lua") {
            let parts = file.name.split(separator: "/")
            for count in parts.indices.dropFirst() {
                mkdir(folder.path(parts[..<count].joined(separator: "/")), 0o700)
            }
            try ResultFile(folder.path(file.name)).write(Array(file.text.utf8))
        }
    }

    /// The folder that they are in.
    var place: String { folder.place }

    /// Takes the files away.
    func remove() { folder.remove() }
}
