public import ArgumentParser
import Glibc

/// A program's whole run, with the exit codes that all of ours have.
public enum CommandLineProgram {
    /// Parses, runs and exits.
    public static func run(_ root: any ParsableCommand.Type, _ arguments: [String]) -> Never {
        do {
            var command = try root.parseAsRoot(arguments)
            try command.run()
        } catch let status as ExitCode {
            Glibc.exit(status.rawValue)
        } catch {
            let text = root.fullMessage(for: error)
            let succeeded = root.exitCode(for: error).isSuccess
            if !text.isEmpty { print(text, to: succeeded ? STDOUT_FILENO : STDERR_FILENO) }
            Glibc.exit(succeeded ? ExitStatus.pass.rawValue : ExitStatus.usage.rawValue)
        }
        Glibc.exit(ExitStatus.pass.rawValue)
    }
}
