public import ArgumentParser
import FoundationEssentials
import Glibc
public import Kernel
import Runner

/// Manual pages (man(7)) of a program, one for each command, from the parser's own description of them.
public struct ManualPages {
    /// What the parser tells of a program (`--experimental-dump-help`), as far as pages show it.
    private struct Description: Decodable {
        let command: Command
    }

    private struct Command: Decodable {
        var superCommands: [String]?
        let shouldDisplay: Bool
        let commandName: String
        var abstract: String?
        var discussion: String?
        var subcommands: [Command]?
        var arguments: [Argument]?

        /// "peerlab run"
        var words: [String] { (superCommands ?? []) + [commandName] }
        /// "peerlab-run"
        var page: String { words.joined(separator: "-") }
        var shown: [Command] {
            (subcommands ?? []).filter { $0.shouldDisplay && $0.commandName != "help" || $0.isOwnHelp }
        }
        /// The parser adds a help of its own to every command, which has no arguments that are described.
        private var isOwnHelp: Bool { commandName == "help" && discussion != nil }
    }

    private struct Argument: Decodable {
        struct Name: Decodable {
            let kind: String
            let name: String

            var text: String { (kind == "long" ? "--" : "-") + name }
        }
        let kind: String
        let shouldDisplay: Bool
        var sectionTitle: String?
        let isOptional: Bool
        let isRepeating: Bool
        var names: [Name]?
        var valueName: String?
        var defaultValue: String?
        var allValues: [String]?
        var abstract: String?
    }

    private let root: Command
    /// "peerlab 0.2.0"
    private let program: String

    /// Of the program whose first command is `root`; its version, where that is known.
    public init(_ root: any ParsableCommand.Type, version: String? = nil) throws {
        var command = try JSONDecoder().decode(Description.self, from: Data(root._dumpHelp().utf8)).command
        // Told of its subcommands alone.
        command.superCommands = root.configuration._superCommandName.map { [$0] }
        self.root = command
        program = "peerlab" + (version.map { " \($0)" } ?? "")
    }

    /// Writes all pages into a folder, "peerlab-run.1" and so on.
    public func write(to folder: String) throws(Failure) {
        for page in pages(of: root) {
            let file = try ResultFile("\(folder)/\(page.name).1")
            try file.write(Array(page.text.utf8))
        }
    }

    private func pages(of command: Command) -> [(name: String, text: String)] {
        [(command.page, text(of: command))] + command.shown.flatMap(pages)
    }

    private func text(of command: Command) -> String {
        var lines = [
            ".TH \(ManualPages.plain(command.page.uppercased())) 1 \"\" \"\(program)\" \"peerlab\"",
            // Left as the words are: no word of an option is divided.
            ".nh", ".ad l",
            ".SH NAME",
            ManualPages.plain(command.page) + " \\- " + ManualPages.plain(command.abstract ?? ""),
            ".SH SYNOPSIS", ".B \(ManualPages.plain(command.words.joined(separator: " ")))",
        ]
        let arguments = (command.arguments ?? []).filter { $0.shouldDisplay }
        if arguments.contains(where: { $0.kind != "positional" }) { lines.append("[\\fIOPTION\\fR...]") }
        if !command.shown.isEmpty { lines.append("\\fICOMMAND\\fR") }
        lines += arguments.filter { $0.kind == "positional" }.map(synopsis)
        if let discussion = command.discussion {
            lines += [".SH DESCRIPTION"] + ManualPages.paragraphs(discussion)
        }
        if !command.shown.isEmpty {
            lines.append(".SH COMMANDS")
            for one in command.shown {
                lines += [".TP", ".BR \(ManualPages.plain(one.page)) (1)", ManualPages.plain(one.abstract ?? "")]
            }
        }
        lines += options(arguments)
        let other = command.superCommands.map { $0.joined(separator: "-") }
        if let other { lines += [".SH SEE ALSO", ".BR \(ManualPages.plain(other)) (1)"] }
        return lines.joined(separator: "\n") + "\n"
    }

    private func synopsis(_ argument: Argument) -> String {
        let name =
            "\\fI\(ManualPages.plain(argument.valueName ?? "argument"))\\fR" + (argument.isRepeating ? "..." : "")
        return argument.isOptional ? "[\(name)]" : name
    }

    /// Arguments first, then options by their sections in the order of their first use.
    private func options(_ arguments: [Argument]) -> [String] {
        var titles: [String] = []
        func title(_ one: Argument) -> String {
            one.kind == "positional" ? "ARGUMENTS" : (one.sectionTitle ?? "options").uppercased()
        }
        for one in arguments where !titles.contains(title(one)) { titles.append(title(one)) }
        titles.sort {
            ($0 == "ARGUMENTS" ? 0 : $0 == "OPTIONS" ? 1 : 2) < ($1 == "ARGUMENTS" ? 0 : $1 == "OPTIONS" ? 1 : 2)
        }
        return titles.flatMap { name in
            [".SH \(ManualPages.plain(name))"] + arguments.filter { title($0) == name }.flatMap(entry)
        }
    }

    private func entry(_ argument: Argument) -> [String] {
        let value = argument.valueName.map { "\\fI\(ManualPages.plain($0))\\fR" }
        var head: String
        if argument.kind == "positional" {
            head = value ?? ""
        } else {
            head = (argument.names ?? []).map { "\\fB\(ManualPages.plain($0.text))\\fR" }.joined(separator: ", ")
            if argument.kind == "option", let value { head += " \(value)" }
        }
        var text = argument.abstract ?? ""
        if let values = argument.allValues, !values.isEmpty { text += " Values: \(values.joined(separator: ", "))." }
        if let value = argument.defaultValue, !value.isEmpty { text += " Default: \(value)." }
        return [".TP", ManualPages.guarded(head), ManualPages.plain(text)]
    }

    private static func paragraphs(_ text: String) -> [String] {
        let parts = text.split(separator: "\n\n").map { plain(String($0)) }
        return Array(parts.map { [$0] }.joined(separator: [".PP"]))
    }

    /// Text in which roff sees no escape and no request; a hyphen stays one that can be copied.
    private static func plain(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            guarded(String(line).replacing("\\", with: "\\e").replacing("-", with: "\\-"))
        }.joined(separator: "\n")
    }

    /// A line that does not begin a request.
    private static func guarded(_ line: String) -> String {
        line.hasPrefix(".") || line.hasPrefix("'") ? "\\&" + line : line
    }
}
