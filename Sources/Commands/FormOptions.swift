public import ArgumentParser
import Glibc
public import Results
public import Runner

/// Options for the formats of results.
public struct FormOptions: ParsableArguments {
    /// No formats.
    public init() {}

    /// `--ktap`
    @Option(help: ArgumentHelp("Write KTAP, as the kernel's tests do, to FILE.", valueName: "FILE"))
    public var ktap: String?
    /// `--tap`
    @Option(help: ArgumentHelp("Write TAP 13 to FILE.", valueName: "FILE"))
    public var tap: String?
    /// `--junit`
    @Option(help: ArgumentHelp("Write JUnit's XML to FILE.", valueName: "FILE"))
    public var junit: String?
    /// `--json`
    @Option(help: ArgumentHelp("Write one JSON document to FILE.", valueName: "FILE"))
    public var json: String?
    /// `--jsonl`
    @Option(help: ArgumentHelp("Write a JSON document a run to FILE.", valueName: "FILE"))
    public var jsonl: String?
    /// `--csv`
    @Option(
        help: ArgumentHelp("Write the numbers as comma-separated values to FILE.", valueName: "FILE"))
    public var csv: String?
    /// `--html`
    @Option(help: ArgumentHelp("Write a page to look at to FILE.", valueName: "FILE"))
    public var html: String?
    /// The path, made absolute.
    public static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), path != "-", let folder = getcwd(nil, 0) else { return path }
        defer { free(folder) }
        return String(cString: folder) + "/" + path
    }

    /// The same options with absolute paths.
    public var absolute: FormOptions {
        var copy = self
        for key in FormOptions.paths { copy[keyPath: key] = self[keyPath: key].map(FormOptions.absolute) }
        return copy
    }

    /// These options, with those that are not given taken from `other`.
    public func filled(from other: FormOptions) -> FormOptions {
        var copy = self
        for key in FormOptions.paths { copy[keyPath: key] = self[keyPath: key] ?? other[keyPath: key] }
        return copy
    }

    private static var paths: [WritableKeyPath<FormOptions, String?>] {
        [\.ktap, \.tap, \.junit, \.json, \.jsonl, \.csv, \.html]
    }

    /// Whether a format goes to standard output ("-"), which then gets nothing else.
    public var takesOutput: Bool { FormOptions.paths.contains { self[keyPath: $0] == "-" } }

    /// Each chosen format with its file, checked to be writable and different from the command's other files.
    public func files(_ all: inout OutputFiles) throws -> [(form: ResultForm, file: ResultFile)] {
        let wanted: [(ResultForm, String?)] = [
            (.ktap, ktap), (.tap, tap), (.junit, junit), (.json, json), (.jsonl, jsonl), (.csv, csv), (.html, html),
        ]
        var files: [(form: ResultForm, file: ResultFile)] = []
        for (form, path) in wanted {
            if let file = try all.write("--\(form.rawValue)", path) { files.append((form, file)) }
        }
        return files
    }
}

/// `--color`
public enum ColorChoice: String, ExpressibleByArgument, CaseIterable {
    case auto, always, never

    /// Whether output to a descriptor has colours.
    public func isOn(_ descriptor: Int32) -> Bool {
        switch self {
        case .always: true
        case .never: false
        case .auto:
            isatty(descriptor) == 1 && (getenv("NO_COLOR").map { $0.pointee == 0 } ?? true)
                && getenv("TERM").map { String(cString: $0) } != "dumb"
        }
    }
}
