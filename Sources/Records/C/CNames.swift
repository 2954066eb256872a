import CKernel
import Kernel

/// Names of C variables for what a record calls "device6" or "mr3": "exporter_fd", "mr1". Numbers count what the record has.
struct CNames: OperationNames {
    private var names: [String: String] = [:]

    init(_ operations: some Sequence<Operation>) {
        var known: Set<String> = []
        var stems: [(symbol: String, stem: String)] = []
        var parts: [(symbol: String, whole: String, part: String)] = []
        let operations = Array(operations)
        let exporters = Set(operations.compactMap(CNames.exporter))
        for operation in operations {
            let values = operation.arguments + [operation.result] + operation.outputs.map(\.value)
            for symbol in values.flatMap(CStep.symbols) where known.insert(symbol).inserted {
                let whole = String(symbol.prefix { $0 != "." })
                if whole != symbol { parts.append((symbol, whole, String(symbol.dropFirst(whole.count + 1)))) }
                guard whole == symbol || known.insert(whole).inserted else { continue }
                stems.append((whole, CNames.stem(whole, isExporter: exporters.contains(whole))))
            }
        }
        let counts = Dictionary(stems.map { ($0.stem, 1) }, uniquingKeysWith: +)
        var used: [String: Int] = [:]
        for (symbol, stem) in stems {
            used[stem, default: 0] += 1
            let suffix = CNames.suffix(symbol)
            let isAlone = counts[stem] == 1 && !suffix.isEmpty
            names[symbol] = stem + (isAlone ? "" : String(used[stem] ?? 0)) + suffix
        }
        for (symbol, whole, part) in parts { names[symbol] = "\(self[whole])_\(CText.identifier(part))" }
    }

    /// The variable's name.
    subscript(symbol: String) -> String { names[symbol] ?? "unknown_\(CText.identifier(symbol))" }

    /// The device that the operation exports memory of.
    private static func exporter(_ operation: Operation) -> String? {
        guard operation.request?.name == "VFIO_DEVICE_FEATURE",
            case .symbol(let device, _)? = operation.arguments.first,
            case .structure(let members)? = operation.arguments.last,
            case .number(let feature, _)? = members.first(where: { $0.name == "feature" })?.value,
            case .number(let bits, _)? = members.first(where: { $0.name == "operation" })?.value
        else { return nil }
        let isExport = feature == UInt64(VFIO_DEVICE_FEATURE_DMA_BUF) && bits == UInt64(VFIO_DEVICE_FEATURE_GET >> 16)
        return isExport ? device : nil
    }

    private static func stem(_ symbol: String, isExporter: Bool) -> String {
        switch Symbols.kind(of: symbol) {
        case "device": isExporter ? "exporter" : "device"
        case "iommufd": "iommu"
        case "eventfd": "event"
        case "memfd": "mem"
        case "id": "object"
        case let kind: kind
        }
    }

    private static func suffix(_ symbol: String) -> String {
        if Symbols.isDescriptor(symbol) { return "_fd" }
        return ["ioas", "dev", "hwpt", "id"].contains(Symbols.kind(of: symbol)) ? "_id" : ""
    }

    // MARK: In comments

    var limits: (bytes: Int, elements: Int) { (8, 4) }
    func name(of value: UInt64, _ format: Format, in operation: Operation, isResult: Bool) -> String? { nil }

    /// The operation as a comment, with the variables' names.
    func comment(_ operation: Operation) -> String {
        var renamed = operation
        renamed.arguments = operation.arguments.map(self.renamed)
        renamed.result = self.renamed(operation.result)
        renamed.outputs = operation.outputs.map { .init($0.name, self.renamed($0.value)) }
        return CText.comment(String(renamed.text(self).prefix(400)))
    }

    private func renamed(_ value: Operation.Value) -> Operation.Value {
        switch value {
        case .symbol(let name, let offset): .symbol(self[name], offset)
        case .structure(let members): .structure(members.map { .init($0.name, renamed($0.value)) })
        case .list(let values): .list(values.map(renamed))
        default: value
        }
    }
}
