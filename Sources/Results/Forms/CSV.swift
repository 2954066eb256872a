import Bindings
import Kernel
import Runner

/// Comma-separated values (RFC 4180), for spreadsheets: a line for each measurement, and one for each case without any.
enum CSV {
    private static let columns = [
        "run", "case", "verdict", "measurement", "size", "st", "ph", "value", "unit", "better", "started", "reason",
        "label", "bench", "simulated", "options",
    ]

    static func write(_ journal: some RecordSource, to pieces: inout ResultFile.Pieces) {
        var text = pieces
        text.add(line(columns.map(quoted)))
        let header = journal.header
        let batch = [quoted(header.label ?? ""), quoted(header.bench), header.simulated ? "yes" : "no"]
        journal.each { record in
            let settings = options(record)
            let cases = record.result?.cases ?? []
            for one in cases {
                let before = [quoted(record.id), quoted(one.name), quoted(one.verdict.rawValue)]
                let after = [quoted(record.started), quoted(one.message ?? "")] + batch + [settings]
                for metric in one.metrics {
                    let numbers = [
                        quoted(metric.name), metric.size.map { "\($0)" } ?? "", metric.st.map { "\($0)" } ?? "",
                        quoted(metric.ph ?? ""), "\(metric.value)", quoted(metric.unit), quoted(metric.better),
                    ]
                    text.add(line(before + numbers + after))
                }
                if one.metrics.isEmpty { text.add(line(before + [String](repeating: "", count: 7) + after)) }
            }
            if cases.isEmpty {
                let run = [quoted(record.id), "", quoted(record.outcome.rawValue)]
                text.add(
                    line(
                        run + [String](repeating: "", count: 7)
                            + [quoted(record.started), quoted(record.reason ?? "")] + batch + [settings]))
            }
        }
        pieces = text
    }

    /// All options of a run, with their values: "size=64;st=0x10".
    private static func options(_ record: RunRecord) -> String {
        let values = record.settings.merging(record.result?.options ?? [:]) { $1 }
        return quoted(values.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ";"))
    }

    static func line(_ cells: [String]) -> String { cells.joined(separator: ",") + "\r\n" }

    /// A text in one line. A spreadsheet would calculate a text that begins like a formula: such a one gets an
    /// apostrophe before it.
    static func quoted(_ text: String) -> String {
        let plain = PrintableText.line(text)
        let isFormula = plain.unicodeScalars.first.map { "=+-@".unicodeScalars.contains($0) } ?? false
        let safe = isFormula ? "'" + plain : plain
        guard safe.unicodeScalars.contains(where: { $0 == "," || $0 == "\"" }) else { return safe }
        return "\"" + safe.replacing(scalar: "\"", with: "\"\"") + "\""
    }
}
