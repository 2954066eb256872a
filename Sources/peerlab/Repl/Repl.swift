import Bindings
import CKernel
import Commands
import Glibc
import Kernel
import LuaCheck
import LuaKit
import Runner
import Synchronization

/// A session of `peerlab repl`.
final class Repl {
    private static let prompts = (first: "peerlab> ", next: "      >> ")

    private let lines: InteractiveRun
    private let input: ReplInput
    private let completion: Completion
    private let bench: Bench
    private let library: Library
    /// The lines so far of an input that is not complete.
    private var pending = ""
    /// How many lines were read, and the one on which the input that is not complete begins.
    private var number = 0, start = 0
    private var hasFailed = false
    /// Whether a signal came while a line was waited for that no user types.
    private var isCutOff = false

    /// Opens the terminal, confines the process, and prepares the bench.
    init(_ bench: Bench, _ library: Library, _ grants: Grants) throws {
        let completion = try Completion(library)
        let box = CompletionBox()
        input = ReplInput { box.repl?.candidates($0) ?? [] }
        var (grants, bench) = (grants, bench)
        let question = bench.kind == "host" ? Terminal().map(GrantOptions.question) : nil
        // The current folder's modules may be read.
        let here = ["./repl"]
        let memory = Limits.defaultMemory + Confinement.modelMemory
        var confinement = Confinement(simulated: here, library, memory: memory)
        if !bench.isSimulated {
            confinement = Confinement(
                real: here, library, insideLab: false, granted: question == nil ? grants.devices : nil, port: nil,
                memory: memory)
            grants.paths = confinement.paths
        }
        confinement.readsTerminal = input.isTerminal
        bench.sandbox = confinement.apply()
        var context = RunContext(bench, library)
        context.permissions = { [grants] in Permissions(grants, ask: question) }
        context.sinks.report = { print($0, to: STDOUT_FILENO) }
        self.bench = bench
        self.library = library
        self.completion = completion
        lines = try InteractiveRun(in: context)
        box.repl = self
    }

    /// Whether a signal came that is not for one line alone.
    private var isTerminated: Bool { process_was_told_to_end() != 0 || LuaState.wasTerminated }
    /// Whether nobody reads what is printed.
    private var isUnheard: Bool { lostOutput.load(ordering: .relaxed) != 0 }

    /// Reads and runs lines to the end of the input. Where no user typed them, a failed one is a failure.
    func run() -> ExitStatus {
        print(bench.line, to: STDOUT_FILENO)
        if input.isTerminal { print("help explains, Ctrl-D ends", to: STDOUT_FILENO) }
        reading: while !isTerminated, !isUnheard {
            switch input.next(pending.isEmpty ? Repl.prompts.first : Repl.prompts.next) {
            case .text(let line):
                number += 1
                if !take(line) { break reading }
            case .unusable(let reason):
                number += 1
                pending = ""
                fail(ErrorValue(kind: .script, reason))
            case .interrupted:
                guard input.isTerminal else {
                    isCutOff = true
                    break reading
                }
                pending = ""
                print("", to: STDOUT_FILENO)
            case .end: break reading
            }
        }
        if !pending.isEmpty { fail(ErrorValue(kind: .script, "the input ends within a statement")) }
        if input.isTerminal { print("", to: STDOUT_FILENO) }
        for error in lines.close() { fail(error) }
        if isTerminated || isCutOff { return .interrupted }
        return hasFailed && !input.isTerminal ? .fail : .pass
    }

    /// Runs a line; false where it ends the session.
    private func take(_ line: String) -> Bool {
        if pending.isEmpty {
            start = number
            let words = line.split(maxSplits: 2, whereSeparator: \.isWhitespace)
            guard let word = words.first else { return true }
            if words.count == 1, ["exit", "exit()", "quit", "quit()"].contains(word) { return false }
        }
        let text = pending.isEmpty ? line : "\(pending)\n\(line)"
        do throws(ErrorValue) {
            if pending.isEmpty, let topic = ReplHelp.topic(text) {
                try explain(topic)
            } else if case .done(let shown) = try lines.run(Repl.keeping(text), from: start) {
                pending = ""
                for line in (shown ?? "").split(separator: "\n") { print(String(line), to: STDOUT_FILENO) }
            } else {
                guard text.utf8.count <= ReplInput.longest else {
                    throw ErrorValue(kind: .script, "a statement may have \(ReplInput.longest >> 20) MiB")
                }
                pending = text
                return true
            }
        } catch {
            pending = ""
            fail(error)
        }
        let (log, failures) = lines.takeNotes()
        for line in log { print("| \(line)", to: STDOUT_FILENO) }
        for failure in failures { fail(failure) }
        return true
    }

    /// A text whose leading `local` is left out: the variables of a line would be gone with it.
    private static func keeping(_ text: String) -> String {
        let rest = text.drop(while: \.isWhitespace)
        guard rest.hasPrefix("local"), rest.dropFirst(5).first?.isWhitespace == true else { return text }
        let names = rest.dropFirst(5).drop(while: \.isWhitespace)
        if names.hasPrefix("function"), names.dropFirst(8).first?.isWhitespace == true { return String(names) }
        // Names alone, with <close> and <const>, which are for local variables; what is open is closed at the end.
        let declared = names.prefix { $0 != "=" }
        guard declared.allSatisfy({ $0.isLetter || $0.isNumber || $0.isWhitespace || "_,<>".contains($0) }) else {
            return text
        }
        let bare = declared.replacing("<close>", with: "").replacing("<const>", with: "")
        return bare + (declared.endIndex == names.endIndex ? " = nil" : String(names[declared.endIndex...]))
    }

    private func fail(_ error: ErrorValue) {
        hasFailed = true
        print("error: \(error.line)", to: STDERR_FILENO)
        if let request = error.request { print("  request: \(request)", to: STDERR_FILENO) }
    }

    private func explain(_ topic: ReplHelp.Topic) throws(ErrorValue) {
        let found: [String]?
        switch topic {
        case .all:
            found = HelpTopics.modules(library) + ["help(vfio.open), help(dev) and help \"device:read\" do so here."]
        case .name(let name): found = HelpTopics.lines(name, library)
        case .value(let expression):
            do throws(ErrorValue) {
                found = ReplHelp.lines(try lines.kind(of: expression), expression, library)
            } catch {
                // A name of something that is no variable: "device:read".
                guard let named = HelpTopics.lines(expression, library) else { throw error }
                found = named
            }
        }
        guard let found else {
            throw ErrorValue(kind: .script, "help: nothing is known of that; help alone lists the modules")
        }
        for line in found { print(line, to: STDOUT_FILENO) }
    }

    fileprivate func candidates(_ text: String) -> [String] {
        completion.candidates(
            pending.isEmpty ? text : "\(pending)\n\(text)", variables: lines.session.variables,
            kind: { [lines] in lines.session.kind(of: $0) })
    }
}

/// Lets the terminal, which is opened first, complete by the session.
private final class CompletionBox {
    weak var repl: Repl?
}
