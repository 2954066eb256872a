import Kernel

/// What calls need of earlier ones.
extension Record {
    /// Lines of what a call depends on, its own among them.
    struct Needs {
        /// The calls that made the objects it names, those that these name, and so on.
        var makes: Set<Int> = []
        /// The same, and the calls that may have changed those objects.
        var readies: Set<Int> = []
    }

    /// What the call at `line` depends on. Work that was posted to a queue pair is part of that and, of a call that succeeded,
    /// the calls that asked the same before: one of them too many may be what should have been refused.
    func needs(of line: Int) -> Needs {
        let judged = operations.first { entries[$0.index].line == line }?.operation
        return needs(of: [line]) { operation in
            operation.changesState
                || judged?.errno == nil && operation.errno == nil && operation.name == judged?.name
                    && !operation.isAsking
        }
    }

    /// What the calls at these lines depend on, where `isChange` tells which calls change the objects that they touch.
    private func needs(of lines: Set<Int>, isChange: (Operation) -> Bool) -> Needs {
        let makers = Makers(self)
        var isNeeded: Set<Int> = [], objects: Set<String> = [], found = Needs()
        var rest = operations.map(\.index).filter { lines.contains(entries[$0].line) }
        guard let last = rest.last else { return found }
        let before = operations.filter { $0.index < last }
        let changes = before.filter { isChange($0.operation) }.map {
            ($0.index, touched(by: $0.operation, makers, $0.index))
        }
        func take(_ index: Int) {
            guard isNeeded.insert(index).inserted, case .operation(let operation) = entries[index].kind else { return }
            found.readies.insert(entries[index].line)
            // A completion names a queue pair, which did not come from the call that took it.
            let given = operation.makes.filter { !Makers.isListed($0) }
            for name in operation.needs + given {
                if !Makers.isListed(name) { objects.insert(Makers.whole(name)) }
                if let maker = makers.maker(of: name, before: index) { rest.append(maker) }
            }
        }
        for (index, operation) in before where operation.changesMachine { take(index) }
        var count = -1
        while count < isNeeded.count {
            count = isNeeded.count
            while let index = rest.popLast() {
                found.makes.insert(entries[index].line)
                take(index)
            }
            for (index, touched) in changes where !isNeeded.contains(index) && !objects.isDisjoint(with: touched) {
                take(index)
            }
        }
        return found
    }

    /// The objects whose state a call may change: those that it names and, of mapped memory and dma-bufs, those that they are of.
    private func touched(by operation: Operation, _ makers: Makers, _ index: Int) -> Set<String> {
        var found: Set<String> = []
        var rest = operation.needs.filter { !Makers.isListed($0) }
        while let name = rest.popLast() {
            guard found.insert(Makers.whole(name)).inserted,
                operation.name == "store", ["map", "dmabuf"].contains(Symbols.kind(of: name)),
                let maker = makers.maker(of: name, before: index), case .operation(let made) = entries[maker].kind
            else { continue }
            rest += made.needs
        }
        return found
    }

    /// Which operation gave a name.
    private struct Makers {
        /// The first that gives each, by its index among the entries. Later ones name what is there.
        private var first: [String: Int] = [:]
        /// All that list it.
        private var lists: [String: [Int]] = [:]

        init(_ record: Record) {
            for (index, operation) in record.operations {
                for name in operation.makes {
                    if Makers.isListed(name) { lists[name, default: []].append(index) }
                    first[name] = first[name] ?? index
                }
            }
        }

        /// Of what is listed again and again the nearest list will do.
        func maker(of name: String, before index: Int) -> Int? {
            if Makers.isListed(name) { return lists[name]?.last { $0 < index } }
            return first[name].flatMap { $0 < index ? $0 : nil }
        }

        /// Whether each list of devices, or of GIDs, names it again.
        static func isListed(_ name: String) -> Bool { name.hasPrefix("ibdev") || name.contains(".gid") }

        /// Of a part ("qp1.qp_num") its object.
        static func whole(_ name: String) -> String { String(name.prefix { $0 != "." }) }
    }

    /// The numbers, from 1, of the calls that made or may have changed what the entry at an index uses, and its own.
    public func numbersOfNeeded(by index: Int) -> Set<Int> {
        let lines = needs(of: entries[index].line).readies
        return Set(
            operations.enumerated().lazy.filter { lines.contains(entries[$0.element.index].line) }.map { $0.offset + 1 }
        )
    }

    /// The calls of one case up to the entry at an index, those before it that made or changed what they use, and what the
    /// record says of the case.
    public func excerpt(to end: Int) -> Record {
        var result = self
        let start = entries[...end].lastIndex { entry in
            if case .comment(let text) = entry.kind { !text.hasPrefix("|") } else { false }
        }
        let own = (start ?? 0)...end
        let lines = Set(entries[own].map(\.line))
        // Of work that another case posted the completions are taken there.
        let needed = needs(of: lines, isChange: { $0.changesState && !$0.isWork }).readies
        let marks = Set(decisions.lazy.filter { $0.place == end }.map(\.entry))
        result.entries = entries.enumerated().filter { index, entry in
            switch entry.kind {
            case .operation: needed.contains(entry.line)
            case .comment: own.contains(index)
            case .judgement, .failure: marks.contains(index)
            case .feature, .scenario: true
            }
        }.map(\.element)
        result.isWhole = true
        return result
    }

    /// Without these lines, and without what needs what they alone made: a list of devices may come more than once.
    func without(_ lines: Set<Int>) -> Record {
        var result = self
        var there: Set<String> = [], gone: Set<String> = []
        result.entries = entries.filter { entry in
            guard case .operation(let operation) = entry.kind else { return true }
            let isKept = !lines.contains(entry.line) && gone.isDisjoint(with: operation.needs)
            if isKept {
                there.formUnion(operation.makes)
                gone.subtract(operation.makes)
            } else {
                gone.formUnion(operation.makes.filter { !there.contains($0) })
            }
            return isKept
        }
        return result
    }
}

extension Operation {
    /// Names that go in.
    var needs: [String] {
        zip(signature.parameters, arguments).flatMap { $0.isOutput ? [] : CStep.symbols($1) }
    }

    /// Names that come out, of which some may have been there before.
    var makes: [String] {
        (CStep.symbols(result) + outputs.flatMap { CStep.symbols($0.value) }).filter { !needs.contains($0) }
    }
}
