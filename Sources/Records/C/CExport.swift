import Kernel

/// A record as one C file that needs nothing of ours: the same calls in the same order, each answer compared with the
/// recorded one. Structures and numbers are in the file, as headers may be older than they are.
public struct CExport {
    private let record: Record
    private let isKselftest: Bool
    private var decoder = Decoder()
    /// Structures, in the order of their first use.
    var structures: [(name: String, text: String)] = []
    private var numbers: [(name: String, value: UInt64)] = []
    /// Variables for what calls give: their C types and names.
    var variables: [(type: String, name: String)] = []
    /// Paths of devices, which arguments may replace.
    private var paths: [String] = []
    private var usesVerbs = false
    /// Functions' bodies, each a part of the record that a comment begins.
    private var parts: [(title: String, lines: [String])] = []
    private var lines: [String] = []

    /// Exports `record`; `kselftest` makes it a test of the kernel's harness (tools/testing/selftests/kselftest_harness.h).
    public init(_ record: Record, kselftest: Bool = false) {
        self.record = record
        isKselftest = kselftest
        for entry in record.entries {
            switch entry.kind {
            case .comment(let text): add(text)
            case .failure(let failure):
                lines.append("\t/* here the script failed\(CText.comment(failure.text)) */")
            case .feature(let feature): decoder.features[feature.number] = feature
            case .operation(let operation): add(operation, entry.line)
            }
        }
        finishPart("")
    }

    /// The file.
    public var text: String {
        var file = [head, CText.includes]
        if usesVerbs { file.append(CText.verbs) }
        for (name, value) in numbers { file.append("#define \(name) \(CText.number(value))") }
        file.append("")
        file += structures.map { $0.text + "\n" }
        if !variables.isEmpty { file.append("/* What calls gave. */") }
        file += variables.map { "static \($0.type)\($0.type.hasSuffix("*") ? "" : " ")\($0.name)\(initial($0.type));" }
        file.append("static const char *paths[] = {")
        file += paths.map { "\t\(CText.quoted($0))," } + ["\tNULL", "};", ""]
        file.append(isKselftest ? CText.harness : CText.helpers)
        file.append(CText.checks)
        for (index, part) in parts.enumerated() {
            file.append("/* \(CText.comment(part.title)) */")
            file += ["static void part_\(index + 1)(void)", "{"] + part.lines + ["}", ""]
        }
        file += ["static void run(void)", "{"] + parts.indices.map { "\tpart_\($0 + 1)();" } + ["}", ""]
        file.append(isKselftest ? CText.harnessMain : CText.main)
        return file.joined(separator: "\n")
    }

    private var head: String {
        var lines = ["/* The calls of a record, made again; each answer is compared with the recorded one."]
        for (key, value) in record.header { lines.append(" *   \(CText.comment("\(key): \(value)"))") }
        lines.append(" *")
        let libraries = usesVerbs ? " -libverbs -ldl" : ""
        lines.append(" * gcc -Wall -Wextra FILE.c -o FILE\(libraries) && ./FILE [DEVICE...]")
        lines.append(" * Each DEVICE is a path or a PCI address, in place of, in order:")
        lines += paths.isEmpty ? [" *   none"] : paths.map { " *   \(CText.comment($0))" }
        return (lines + [" * It ends with 0 where every answer is the recorded one. */"]).joined(separator: "\n")
    }

    private func initial(_ type: String) -> String { type == "int" ? " = -1" : "" }

    // MARK: Parts

    private mutating func add(_ comment: String) {
        // "| ..." is what a script logged.
        if comment.hasPrefix("|") {
            lines.append("\t/* \(CText.comment(comment)) */")
        } else {
            finishPart(comment)
        }
    }

    private var title = "before the first case"

    private mutating func finishPart(_ next: String) {
        if !lines.isEmpty { parts.append((title, lines)) }
        lines = []
        title = next
    }

    private mutating func add(_ operation: Operation, _ line: Int) {
        if operation.isInjected {
            lines.append(
                "\t/* line \(line): \(CText.comment(operation.name)) was refused by a fault plan, not by the kernel */")
            return
        }
        if let reason = reasonNotToMake(operation) {
            lines.append("\t/* line \(line): \(CText.comment(operation.name)) is not made: \(CText.comment(reason)) */")
            return
        }
        var step = CStep(operation, line: line)
        step.write(&self, decoder)
        lines += step.lines
    }

    /// Bytes of data that one call may have, of which a recorder keeps 16 KiB, and all together.
    private static let mostOfCall = 64 << 10, mostOfAll = 16 << 20
    private var dataSize = 0

    /// What whoever builds and runs the file must not be made to do.
    private mutating func reasonNotToMake(_ operation: Operation) -> String? {
        if let (path, flags) = operation.opened, !DevicePath.mayOpen(path, flags: flags) {
            return "\(path) is no device"
        }
        let size = operation.dataSize
        guard size <= CExport.mostOfCall, dataSize + size <= CExport.mostOfAll else {
            return "its data are \(size) bytes"
        }
        dataSize += size
        return nil
    }

    // MARK: What steps declare

    /// The index of a path that an argument may replace.
    mutating func index(ofPath path: String) -> Int {
        if let known = paths.firstIndex(of: path) { return known }
        paths.append(path)
        return paths.count - 1
    }

    mutating func define(_ name: String, _ value: UInt64) {
        if !numbers.contains(where: { $0.name == name }) { numbers.append((name, value)) }
    }

    /// The variable for what a name of the record stands for.
    mutating func declare(_ symbol: String, _ type: String) -> String {
        let name = CText.identifier(symbol)
        if !variables.contains(where: { $0.name == name }) { variables.append((type, name)) }
        return name
    }

    /// Bytes of what was mapped.
    private var mappings: [String: UInt64] = [:]
    mutating func keep(mapping symbol: String, of length: UInt64) { mappings[symbol] = length }
    func length(ofMapping symbol: String) -> UInt64? { mappings[symbol] }

    mutating func needVerbs() { usesVerbs = true }
}
