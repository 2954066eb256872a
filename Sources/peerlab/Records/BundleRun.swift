import ArgumentParser
import Glibc
import Kernel
import Records
import Runner

/// `peerlab run BUNDLE`: runs a scenario of unknown origin.
struct BundleRun {
    private let folder: TemporaryFolder
    /// Path of the unpacked scenario.
    let path: String
    /// Name of the scenario in the bundle.
    let name: String
    /// Its options.
    let settings: [String]
    /// Name of the simulated bench that models the one on which it was made.
    let model: String?
    /// The bundle's record: it describes a machine for which there is no model, and which features a modelled kernel
    /// had.
    let record: Record?

    /// nil where the file is not a bundle. Its scenario runs on simulated benches only, unless it is trusted.
    init?(_ file: String, on options: BenchOptions) throws {
        // An unreadable file is reported by the code that reads it first.
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

    /// The folder of the unpacked files.
    var place: String { folder.place }

    /// Removes the unpacked files.
    func remove() { folder.remove() }
}
