import CKernel
import Kernel

/// A record as one C file that needs nothing of ours: the same calls in the same order, each answer compared with the
/// recorded one. Of what the kernel's headers may define it defines itself what the installed ones lack.
public struct CExport {
    private let record: Record
    private let isKselftest: Bool
    /// Whether it stands in a mail, which says what the record says of the bug itself.
    private let isInMail: Bool
    private var decoder = Decoder()
    let names: CNames
    /// Structures, in the order of their first use.
    var structures: [CDefinition] = []
    /// Numbers that the program defines where its headers do not.
    private(set) var numbers: [(name: String, value: UInt64, isKernels: Bool)] = []
    /// The kernel's headers that the calls need.
    private var headers: Set<String> = []
    /// Variables for what calls give: their C types and names.
    var variables: [(type: String, name: String)] = []
    /// Paths of devices, which arguments may replace.
    private var paths: [String] = []
    /// Those of `paths` that are names of RDMA devices.
    private var rdmaDevices: Set<String> = []
    /// What the record calls the RDMA devices that it opens.
    private let opened: Set<String>
    private var usesVerbs = false
    /// One C function for each case of the record: its title, and its lines.
    private var parts: [(title: String, lines: [String])] = []
    private var entries: [CEntry] = []

    /// Calls so far, also those that are not made.
    private var count = 0
    /// Whether the calls of the part are all made, and all answers compared.
    private var isWhole = true
    /// Answers that show a bug, so far; whether the part has one, and whether calls follow one in its part.
    private var decided = 0, hasDecided = false, goesOn = false
    /// Whether each right answer can be told from others.
    private var knowsRight = true
    /// Whether the record says that an answer is wrong.
    let decides: Bool
    /// How often the record's calls name what it has names for.
    private var uses: [String: Int] = [:]

    /// Exports `record`; `kselftest` makes it a test of the kernel's harness (tools/testing/selftests/kselftest_harness.h). Where
    /// the record says that an answer is wrong, the program ends with 0 where a kernel answers rightly, and with 1 where it has
    /// the bug; otherwise with 0 where all answers are the recorded ones.
    public init(_ record: Record, kselftest: Bool = false, inMail: Bool = false) {
        self.record = record
        isKselftest = kselftest
        isInMail = inMail
        names = CNames(
            record.entries.lazy.compactMap { if case .operation(let operation) = $0.kind { operation } else { nil } })
        let decisions = record.decisions
        decides = !decisions.isEmpty
        opened = Set(record.operations.filter { $0.operation.name == "ibv_open_device" }.flatMap(\.operation.needs))
        for (_, operation) in record.operations {
            let values = operation.arguments + [operation.result] + operation.outputs.map(\.value)
            for symbol in values.flatMap(CStep.symbols) { uses[symbol, default: 0] += 1 }
        }
        let byOperation = Dictionary(
            decisions.compactMap { one in one.operation.map { ($0, one) } }, uniquingKeysWith: { first, _ in first })
        for (index, entry) in record.entries.enumerated() {
            switch entry.kind {
            case .comment(let text): add(text)
            case .failure(let failure): note("here the script failed\(CText.comment(failure.text))")
            case .feature(let feature): decoder.add(feature)
            case .operation(let operation): add(operation, byOperation[index])
            case .judgement(let judgement):
                if let one = decisions.first(where: { $0.entry == index }), one.operation == nil { add(judgement) }
            case .scenario: break
            }
        }
        finishPart("")
    }

    /// The file.
    public var text: String {
        var calls: [String] = []
        for (index, part) in parts.enumerated() {
            let name = parts.count == 1 ? "make_calls" : "part_\(index + 1)"
            calls += ["/* \(CText.comment(part.title)) */", "static void \(name)(void)", "{"]
            calls += (goesOn ? ["\tdecided = 0;"] : []) + part.lines + ["}", ""]
        }
        if parts.count != 1 {
            calls += ["static void make_calls(void)", "{"] + parts.indices.map { "\tpart_\($0 + 1)();" } + ["}", ""]
        }
        let pieces = CPiece.needed(by: calls, decides: decides, goesOn: goesOn)
        let frame = CFrame(
            names: Set(pieces.map(\.name)), paths: paths, rdmaDevices: rdmaDevices, isInMail: isInMail,
            decisions: decided,
            knowsRight: knowsRight,
            goesOn: goesOn, isKselftest: isKselftest)
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
        lines += definitions
        let types = variables.map(\.type).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
        for type in types {
            // Of a pointer the asterisk belongs to each name.
            let stem = type.hasSuffix("*") ? String(type.dropLast()) : type + " "
            let names = variables.filter { $0.type == type }.map {
                type.dropFirst(stem.count) + $0.name + initial(type)
            }
            lines += CText.lines(names.map { String($0) }).map { "static \(stem)\($0.dropLast());" }
        }
        guard !paths.isEmpty else { return lines + [""] }
        let list = CText.lines(paths.map { CText.quoted($0) })
        if list.count == 1 { return lines + ["static const char *paths[] = { \(list[0].dropLast()) };", ""] }
        return lines + ["static const char *paths[] = {"] + list.map { "\t" + $0 } + ["};", ""]
    }

    private var head: String {
        let header = ["script", "bench", "kernel"].compactMap { key in record[key].map { "\(key): \($0)" } }
        let told = Record.scenarioKeys.compactMap { key in record.scenario(key).map { "\(key): \($0)" } }
        var lines = ["The calls of a record, made again; each answer is compared with the recorded one."]
        for text in isInMail ? [] : header + told { lines += Wrapped.lines(text, rest: "    ", width: 100) }
        if isKselftest {
            lines.append(
                "For tools/testing/selftests. The variable DEVICES has other devices in place of `paths`.")
        } else {
            let library = usesVerbs ? " -libverbs" : ""
            lines.append("gcc -Wall -Wextra FILE.c -o FILE\(library) && ./FILE; its --help tells what exit codes mean")
        }
        lines = lines.map { " * " + CText.comment($0) }
        lines[0] = "/*" + lines[0].dropFirst(2)
        return lines.joined(separator: "\n") + " */"
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
        (isWhole, hasDecided) = (true, false)
    }

    private mutating func leaveOut(_ operation: Operation, _ reason: String) {
        note("call \(count): \(CText.comment(operation.name)) \(CText.comment(reason))")
        isWhole = false
    }

    /// A call that shows the bug, and is not made.
    private mutating func cannotDecide(_ operation: Operation) {
        (decided, hasDecided) = (decided + 1, true)
        entries.append(.comment("\tdecide(\(count), \(CText.quoted(operation.name)), \"not made\", 0, 0);"))
    }

    private mutating func add(_ operation: Operation, _ decision: Record.Decision?) {
        count += 1
        if operation.isInjected { return leaveOut(operation, "was refused by a fault plan, not by the kernel") }
        if let reason = reasonNotToMake(operation) {
            leaveOut(operation, "is not made: \(reason)")
            if decision != nil { cannotDecide(operation) }
            return
        }
        if operation.signature.name == "ibv_create_qp" { noteQueuePair(operation) }
        if case .symbol(let made, _) = operation.result, case .symbol(let parent, _)? = operation.arguments.first {
            children[parent, default: []].append(made)
        }
        if hasDecided { goesOn = true }
        var step = CStep(operation, number: count, names: names, decision: decision)
        step.write(&self, decoder)
        isWhole = isWhole && step.isWhole
        // A comment alone says why there is no call.
        guard step.lines.count > 1 else {
            entries.append(.comment(step.lines[0]))
            if decision != nil { cannotDecide(operation) }
            return
        }
        if let judgement = decision?.judgement {
            let text = "\(judgement.found), where a right kernel answers: \(judgement.right)"
            note("the bug: \(CText.comment(text))")
            (decided, hasDecided) = (decided + 1, true)
            knowsRight = knowsRight && (decision?.knowsRight ?? true)
        }
        entries.append(.step(comment: step.lines[0], code: Array(step.lines.dropFirst()), number: count))
    }

    /// What a script found wrong, where nothing tells which call answered it: that it is there follows from equal answers alone.
    private mutating func add(_ judgement: Record.Judgement) {
        let text = "\(judgement.what): \(judgement.found), where a right kernel has \(judgement.right)"
        (decided, hasDecided, knowsRight) = (decided + 1, true, false)
        let code =
            isWhole
            ? "decide(\(count), \"the calls up to here\", differences ? \"other answers\" : \"as recorded\", !differences, 0);"
            : "decide(\(count), \"the calls up to here\", \"not all are made\", 0, 0);"
        entries.append(.step(comment: "\t/* the bug: \(CText.comment(text)) */", code: ["\t" + code], number: count))
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

    /// The same of an RDMA device's name.
    mutating func index(ofRDMADevice name: String) -> Int {
        rdmaDevices.insert(name)
        return index(ofPath: name)
    }

    /// Whether a call opens the RDMA device of that name in the record.
    func opens(_ symbol: String) -> Bool { opened.contains(symbol) }

    /// The request's header, and its number where the header lacks it.
    mutating func define(_ request: Request) {
        let header = CHeaders.header(request.file)
        if let header { headers.insert(header) }
        define(request.name, UInt64(request.number), isKernels: header != nil)
    }

    mutating func define(_ name: String, _ value: UInt64, isKernels: Bool = true) {
        if !numbers.contains(where: { $0.name == name }) { numbers.append((name, value, isKernels)) }
    }

    /// Whether a name comes again.
    func isUsed(_ symbol: String) -> Bool { uses[symbol, default: 0] > 1 }

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
