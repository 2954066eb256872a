import ArgumentParser
import Commands
import Glibc
import LuaKit
import Runner

/// `--expect`
struct ExpectOption: ParsableArguments {
    @Option(
        name: .customLong("expect"),
        help: ArgumentHelp(
            """
            Known failures: lines of 'FILE > CASE  # REASON', or of 'FILE  # REASON' for any failure of the run; \
            'sometimes' before it where it may pass too, * stands for any text. What fails as expected fails no run; \
            what was expected to fail and passes does, with exit code 1.
            """, valueName: "FILE"))
    var path: String?

    /// What the file lists; nothing without one.
    func failures() throws -> ExpectedFailures {
        guard let path else { return ExpectedFailures() }
        do throws(ErrorValue) { return try ExpectedFailures(reading: path) } catch {
            throw ValidationError("--expect: \(error.line)")
        }
    }

    /// Tells which lines are about nothing that was run.
    func tell(_ failures: ExpectedFailures, unusedBy runs: [(run: String, cases: [String])]) {
        let lines = failures.unused(by: runs)
        guard let path, !lines.isEmpty else { return }
        let few = lines.prefix(10).map(String.init).joined(separator: ", ") + (lines.count > 10 ? ", ..." : "")
        print(
            "\(path): line\(lines.count == 1 ? "" : "s") \(few): about no case that was run", to: STDERR_FILENO)
    }
}
