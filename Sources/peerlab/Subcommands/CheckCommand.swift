import ArgumentParser
import Commands
import Glibc
import Kernel
import LuaCheck
import LuaKit
import Runner

/// `peerlab check`
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Find mistakes in Lua files without running them.",
        discussion: """
            Finds syntax errors, undeclared variables, unknown functions, methods, fields, keys and options, values of a wrong \
            type, arguments that are missing or too many, calls in place of functions, what a scenario declares wrongly, effects \
            that it does not declare, and variables and options that are never read. What it does not know of a value is no finding: a file without one may \
            still be wrong. A line is FILE:LINE:COLUMN: error or warning: what.

            Exit codes, as luacheck's: 0 nothing was found, 1 warnings, 2 errors (or wrong usage), 3 a file could not be read.
            """)

    @Flag(help: "Print the findings as JSON: a list of file, line, column, severity and message.")
    var json = false

    @Option(help: ArgumentHelp("Further folder of Lua modules.", valueName: "DIR"))
    var lib: [String] = []

    @ArgumentParser.Argument(
        help: "Lua files: scenarios, modules; or names of scenarios that come with peerlab (peerlab list).",
        completion: .custom(Completions.scenarios))
    var files: [String]

    /// Time limit of each file, seconds.
    private static let timeout = 20.0

    func run() throws {
        let files = try ShippedScenarios.paths(files)
        let library = Library(stdlib: ShippedFolders.stdlib(extra: lib))
        _ = Confinement(simulated: files, library, memory: Limits.defaultMemory + Confinement.modelMemory).apply()
        ProcessLimits.watch(seconds: CheckCommand.timeout * Double(files.count + 1), memory: .max, statm: -1) { _ in
            print("peerlab: check: reading what the files say does not end", to: STDERR_FILENO)
            _exit(CheckStatus.unreadable.rawValue)
        }
        let checker: LuaChecker
        do throws(ErrorValue) { checker = try LuaChecker(library) } catch { throw ValidationError(error.line) }
        var found: [FileFinding] = []
        var status = CheckStatus.clean
        for file in files {
            do throws(Failure) {
                let text = try InputFile.bytes(of: file, limit: LuaChecker.largest, mayBeStream: true)
                let folder = file.lastIndex(of: "/").map { String(file[..<$0]) } ?? "."
                for finding in checker.findings(in: text, folder: folder) {
                    status = max(status, finding.severity == .error ? .errors : .warnings)
                    let shown = FileFinding(file, finding)
                    found.append(shown)
                    if !json { print(shown.text, to: STDOUT_FILENO) }
                }
            } catch {
                print("peerlab: cannot read \(file): \(error.message)", to: STDERR_FILENO)
                status = .unreadable
            }
        }
        if json {
            printDocument(String(decoding: try JSONText(pretty: true).encode(found), as: UTF8.self), to: STDOUT_FILENO)
        }
        if status != .clean { throw ExitCode(status.rawValue) }
    }
}

/// luacheck's exit codes.
private enum CheckStatus: Int32, Comparable {
    case clean = 0
    case warnings, errors, unreadable

    static func < (one: CheckStatus, other: CheckStatus) -> Bool { one.rawValue < other.rawValue }
}

/// A finding as it is printed.
private struct FileFinding: Encodable {
    let file: String
    let line: Int
    let column: Int
    let severity: String
    let message: String

    /// As compilers write it and editors read it.
    var text: String { "\(file):\(line):\(column): \(severity): \(message)" }

    init(_ file: String, _ finding: Finding) {
        self.file = file
        (line, column) = (finding.place.line, finding.place.column)
        (severity, message) = (finding.severity.rawValue, finding.message)
    }
}
