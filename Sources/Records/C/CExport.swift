import CKernel
import Kernel

/// A record as one C file that needs nothing of ours: the same calls in the same order, each answer compared with the
/// recorded one. Of what the kernel's headers may define it defines itself what the installed ones lack.
public struct CExport {
    private let record: Record
    private let isKselftest: Bool
    private var decoder = Decoder()
    let names: CNames
    /// Structures, in the order of their first use.
    var structures: [CDefinition] = []
    /// Numbers that the program defines where its headers do not.
    private var numbers: [(name: String, value: UInt64, isKernels: Bool)] = []
    /// The kernel's headers that the calls need.
    private var headers: Set<String> = []
    /// Variables for what calls give: their C types and names.
    var variables: [(type: String, name: String)] = []
    /// Paths of devices, which arguments may replace.
    private var paths: [String] = []
    private var usesVerbs = false
    /// One C function for each case of the record: its title, and its lines.
    private var parts: [(title: String, lines: [String])] = []
    private var entries: [CEntry] = []

    /// Exports `record`; `kselftest` makes it a test of the kernel's harness (tools/testing/selftests/kselftest_harness.h).
    public init(_ record: Record, kselftest: Bool = false) {
        self.record = record
        isKselftest = kselftest
        names = CNames(
            record.entries.lazy.compactMap { if case .operation(let operation) = $0.kind { operation } else { nil } })
        for entry in record.entries {
            switch entry.kind {
            case .comment(let text): add(text)
            case .failure(let failure): note("here the script failed\(CText.comment(failure.text))")
            case .feature(let feature): decoder.add(feature)
            case .operation(let operation): add(operation, entry.line)
            }
        }
        finishPart("")
    }

    /// The file.
    public var text: String {
        var calls: [String] = []
        for (index, part) in parts.enumerated() {
            calls.append("/* \(CText.comment(part.title)) */")
            calls += ["static void part_\(index + 1)(void)", "{"] + part.lines + ["}", ""]
        }
        calls += ["static void make_calls(void)", "{"] + parts.indices.map { "\tpart_\($0 + 1)();" } + ["}", ""]
        let pieces = CPiece.needed(by: calls)
        let frame = CFrame(pieces, hasPaths: !paths.isEmpty, isKselftest: isKselftest)
        let body = frame.variables + pieces.map(\.text) + calls + frame.beginning + [frame.end]
        return (declarations(body) + body).joined(separator: "\n")
    }

    /// What stands in front of the functions.
    private func declarations(_ body: [String]) -> [String] {
        let called = CTokens.calls(body)
        let system = CFrame.includes + CPiece.headers.filter { called.contains($0.function) }.map(\.header)
        var lines = [head, "#define _GNU_SOURCE"]
        lines += Set(system).sorted().map { "#include <\($0)>" }
        lines += headers.sorted().flatMap(CHeaders.include)
        if usesVerbs { lines.append("#include <infiniband/verbs.h>") }
        if isKselftest { lines.append("#include \"kselftest_harness.h\"") }
        lines.append("")
        if !(structures.isEmpty && numbers.isEmpty), !headers.isEmpty {
            lines += ["/* What the kernel's headers on this machine may be too old to have. */", ""]
        }
        // Before numbers, by which they are known.
        lines += structures.map { $0.text + "\n" }
        for (name, value, isKernels) in numbers {
            let line = "#define \(name) \(CText.number(value))"
            lines += isKernels ? ["#ifndef \(name)", line, "#endif"] : [line]
        }
        if !numbers.isEmpty { lines.append("") }
        if !variables.isEmpty { lines.append("/* What calls gave. */") }
        lines += variables.map { "static \($0.type)\($0.type.hasSuffix("*") ? "" : " ")\($0.name)\(initial($0.type));" }
        if !paths.isEmpty {
            lines.append("static const char *paths[] = {")
            lines += paths.map { "\t\(CText.quoted($0))," } + ["\tNULL", "};"]
        }
        return lines + [""]
    }

    private var head: String {
        var lines = ["/* The calls of a record, made again; each answer is compared with the recorded one."]
        for (key, value) in record.header { lines.append(" *   \(CText.comment("\(key): \(value)"))") }
        lines.append(" *")
        if isKselftest {
            lines.append(
                " * A test for tools/testing/selftests; the variable DEVICES has paths or PCI addresses, with commas, in"
            )
            lines.append(" * place of, in order:")
        } else {
            lines.append(
                " * gcc -Wall -Wextra FILE.c -o FILE\(usesVerbs ? " -libverbs" : "") && ./FILE"
                    + (paths.isEmpty ? "" : " [DEVICE...]"))
            if !paths.isEmpty { lines.append(" * Each DEVICE is a path or a PCI address, in place of, in order:") }
        }
        lines += paths.map { " *   \(CText.comment($0))" }
        lines += [
            " * It stops at the first thing that is not there. It ends with 0 where every answer is the recorded one, 1",
            " * where one differs, 4 where a device is not there. */",
        ]
        return lines.joined(separator: "\n")
    }

    private func initial(_ type: String) -> String { type == "int" ? " = -1" : "" }

    // MARK: Parts

    private mutating func note(_ comment: String) { entries.append(.comment("\t/* \(comment) */")) }

    private mutating func add(_ comment: String) {
        // "| ..." is what a script logged.
        if comment.hasPrefix("|") { note(CText.comment(comment)) } else { finishPart(comment) }
    }

    private var title = "before the first case"

    private mutating func finishPart(_ next: String) {
        if !entries.isEmpty { parts.append((title, CLoop.lines(entries))) }
        entries = []
        title = next
    }

    private mutating func add(_ operation: Operation, _ line: Int) {
        if operation.isInjected {
            return note("line \(line): \(CText.comment(operation.name)) was refused by a fault plan, not by the kernel")
        }
        if let reason = reasonNotToMake(operation) {
            return note("line \(line): \(CText.comment(operation.name)) is not made: \(CText.comment(reason))")
        }
        if operation.signature.name == "ibv_create_qp" { noteQueuePair(operation) }
        if case .symbol(let made, _) = operation.result, case .symbol(let parent, _)? = operation.arguments.first {
            children[parent, default: []].append(made)
        }
        var step = CStep(operation, line: line, names: names)
        step.write(&self, decoder)
        // A comment alone says why there is no call.
        if step.lines.count == 1 {
            entries.append(.comment(step.lines[0]))
        } else {
            entries.append(.step(comment: step.lines[0], code: Array(step.lines.dropFirst()), line: line))
        }
    }

    /// Bytes of data that one call may have, of which a recorder keeps 16 KiB, and all together.
    private static let mostOfCall = 64 << 10, mostOfAll = 16 << 20
    private var dataSize = 0

    /// Why the exported program must not make the call; nil where it may. Records are untrusted.
    private mutating func reasonNotToMake(_ operation: Operation) -> String? {
        let inputs = operation.inputs(decoder)
        if let reason = operation.misuse(decoder, inputs, isReal: true) ?? inputs.lazy.compactMap(outOfReach).first {
            return reason
        }
        if operation.signature.name == "ibv_post_send", !isSafeDatagram(operation) {
            return "a datagram is sent to an address handle, and nothing else done with it"
        }
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

    /// The request's header, and its number where the header lacks it.
    mutating func define(_ request: Request) {
        let header = CHeaders.header(request.file)
        if let header { headers.insert(header) }
        define(request.name, UInt64(request.number), isKernels: header != nil)
    }

    mutating func define(_ name: String, _ value: UInt64, isKernels: Bool = true) {
        if !numbers.contains(where: { $0.name == name }) { numbers.append((name, value, isKernels)) }
    }

    /// The variable for what a name of the record stands for.
    mutating func declare(_ symbol: String, _ type: String) -> String {
        let name = names[symbol]
        if !variables.contains(where: { $0.name == name }) { variables.append((type, name)) }
        return name
    }

    /// A statement by which the variable of a name that was given before stands for nothing; nil without such a variable.
    func reset(_ symbol: String) -> String? {
        let name = names[symbol]
        guard let variable = variables.first(where: { $0.name == name }) else { return nil }
        switch variable.type {
        case let type where type.hasSuffix("*"): return "\(name) = NULL;"
        case "int": return "\(name) = -1;"
        case let type where type.hasPrefix("union"): return nil
        default: return "\(name) = 0;"
        }
    }

    /// Objects by the one that they were made of.
    private var children: [String: [String]] = [:]

    /// A destroyed object and all that was made of it, which libibverbs does not destroy and which points into freed memory: the
    /// ones that have variables.
    mutating func ended(_ symbol: String) -> [String] {
        var names: [String] = []
        var rest = [symbol]
        while let name = rest.popLast() {
            if hasMade(name), Symbols.isObject(name) { names.append(name) }
            rest += children.removeValue(forKey: name) ?? []
        }
        return names
    }

    /// Bytes of what is mapped.
    private var mappings: [String: UInt64] = [:]
    /// `length` is nil of what is unmapped, be it in part.
    mutating func noteMapping(_ symbol: String, _ length: UInt64?) { mappings[symbol] = length }

    /// Why the call must not get an address: outside of the recorded mapping lies the exported program's own memory.
    private func outOfReach(_ input: OperationInput) -> String? {
        guard input.isAddress else { return nil }
        let extent = input.extent { if case .number(let number, _) = $0 { number } else { nil } }
        switch input.value {
        case .symbol(let symbol, let offset):
            guard hasMade(symbol) else { return nil }
            let length = mappings[symbol] ?? 0
            let room = input.isAccess && !input.isRange ? length : Replay.wholePages(length)
            // The kernel refuses a range that goes around the end of the address space; nothing is mapped in the first 64 KiB.
            let isRefused = extent > .max - 0xffff && !input.isUnchecked
            let isInside = length > 0 && offset <= room && (extent <= room - offset || isRefused)
            return isInside ? nil : "\(input.name)=\(symbol) reaches outside of what is mapped"
        case .number(let address, _):
            if input.isUnchecked { return extent > 0 ? "\(input.name) lies outside of what is mapped" : nil }
            // Nothing is mapped below vm.mmap_min_addr, and no program above 2^56.
            return address < 0x10000 || address >= 1 << 56
                ? nil : "\(input.name) is an address of the program that was recorded"
        default: return input.isUnchecked && extent > 0 ? "\(input.name) is no memory that the record mapped" : nil
        }
    }

    /// Queue pairs whose work requests have an address handle where others have numbers (struct ibv_send_wr has a union).
    private var datagramPairs: Set<String> = []

    private mutating func noteQueuePair(_ operation: Operation) {
        guard case .symbol(let made, _) = operation.result,
            let index = operation.signature.parameters.firstIndex(where: { $0.name == "qp_type" })
        else { return }
        if case .number(let type, _) = operation.arguments[index], type != UInt64(IBV_QPT_UD.rawValue) {
            datagramPairs.remove(made)
        } else {
            datagramPairs.insert(made)
        }
    }

    private func isSafeDatagram(_ operation: Operation) -> Bool {
        guard case .symbol(let pair, _)? = operation.arguments.first, datagramPairs.contains(pair) else { return true }
        return operation.sendsDatagrams
    }

    mutating func needVerbs() { usesVerbs = true }
}
