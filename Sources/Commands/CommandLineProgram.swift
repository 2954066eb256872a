public import ArgumentParser
import Glibc
import Kernel
import Synchronization

/// Runs a program from parsing to exit, with the exit codes that all of peerlab's programs share.
public enum CommandLineProgram {
    /// Parses, checks, runs and exits; `check` may refuse arguments that the parser accepts.
    public static func run(
        _ root: any ParsableCommand.Type, _ arguments: [String],
        check: (any ParsableCommand) throws -> Void = { _ in }
    ) -> Never {
        // The parser's own errors say which command they are of.
        var started: (any ParsableCommand.Type)?
        do {
            var command = try root.parseAsRoot(arguments)
            started = type(of: command)
            try check(command)
            try command.run()
        } catch let status as ExitCode {
            end(status.rawValue)
        } catch let error as Failure {
            print("peerlab: \(error.message)", to: STDERR_FILENO)
            end(ExitStatus.usage.rawValue)
        } catch {
            let succeeded = root.exitCode(for: error).isSuccess
            let text = succeeded ? root.fullMessage(for: error) : failure(root, started, error)
            if !text.isEmpty { printDocument(text, to: succeeded ? STDOUT_FILENO : STDERR_FILENO) }
            end(succeeded ? ExitStatus.pass.rawValue : ExitStatus.usage.rawValue)
        }
        end(ExitStatus.pass.rawValue)
    }

    /// The error's message, which may contain names of files and words of the command line, and the command's usage.
    private static func failure(
        _ root: any ParsableCommand.Type, _ started: (any ParsableCommand.Type)?, _ error: any Error
    ) -> String {
        let message = root.message(for: error)
        var whole = root.fullMessage(for: error)
        if error is ValidationError, let started, let path = path(from: root, to: started), path.count > 1 {
            let names = path.map(name(of:)).joined(separator: " ")
            whole =
                "Error: \(message)\nUsage: \(root.usageString(for: started))\n  See '\(names) --help' for more information."
        }
        // A root of its own (see main) is another command's still.
        if let command = root.configuration.commandName, let above = root.configuration._superCommandName {
            whole = whole.replacing("See '\(command) ", with: "See '\(above) \(command) ")
        }
        let shown = PrintableText.lines(message).joined(separator: "\n    \(foreignMark)")
        guard let range = whole.firstRange(of: message) else { return shown }
        return whole[..<range.lowerBound] + shown + whole[range.upperBound...]
    }

    private static func name(of command: any ParsableCommand.Type) -> String {
        command.configuration.commandName ?? "\(command)".lowercased()
    }

    /// The commands from one to another below it; nil where it is not below.
    private static func path(
        from root: any ParsableCommand.Type, to command: any ParsableCommand.Type
    ) -> [any ParsableCommand.Type]? {
        if root == command { return [root] }
        for next in root.configuration.subcommands {
            if let rest = path(from: next, to: command) { return [root] + rest }
        }
        return nil
    }

    /// Exits. Output lost to a full disk turns a pass into a failure; EPIPE does not, as the reader had read enough.
    private static func end(_ status: Int32) -> Never {
        let lost = lostOutput.load(ordering: .relaxed)
        guard lost != 0, lost != EPIPE else { Glibc.exit(status) }
        let reason = Errno(lost)
        print("peerlab: cannot write to standard output: \(reason.message) (\(reason.name))", to: STDERR_FILENO)
        Glibc.exit(ExitStatus.software.rawValue)
    }
}
