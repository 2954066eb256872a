import Devices
import Kernel

/// The topology as an SVG: host bridges at the left, what is below them to the right. Text goes through ``XMLText``.
struct TopologyDrawing {
    private static let (width, height) = (300, 58)
    private static let (across, down, top) = (340, 74, 56)
    private static let colours: [TopologyTree.Kind: String] = [
        .bridge: "#e4e4e7", .port: "#f4f4f5", .exporter: "#dbeafe", .importer: "#dcfce7",
        .candidate: "#fef3c7", .other: "#fafafa",
    ]

    private var shapes: [String] = []
    private var rows = 0
    private var depth = 0
    private let report: DoctorReport
    private let refused: Set<String>

    /// Of a report, whose first line is the picture's caption: it says whether a model answered.
    init(_ report: DoctorReport) {
        self.report = report
        let alone = report.findings.filter { $0.state == "obstacle" && !$0.subject.contains(" ") }.map(\.subject)
        refused = Set(
            alone + report.routes.filter { $0.route == nil || $0.route == "not supported" }.flatMap(\.redirecting))
        for root in report.topology { _ = add(root, 0) }
    }

    /// The document.
    var text: String {
        let ways = report.routes.map { "\($0.importer) to \($0.exporter): \($0.route ?? "could not be read")" }
        let below = TopologyDrawing.top + rows * TopologyDrawing.down
        let size = (max(1, depth + 1) * TopologyDrawing.across + 40, below + 24 * ways.count + 32)
        let caption = XMLText.escaped(PrintableText.line(report.bench.line, longest: 512))
        var lines = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(size.0) \(size.1)\" width=\"\(size.0)\" height=\"\(size.1)\" "
                + "role=\"img\" font-family=\"sans-serif\" font-size=\"12\">",
            "<title>Topology, \(caption)</title>",
            "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
            "<text x=\"20\" y=\"28\" font-size=\"14\" fill=\"#18181b\">\(caption)</text>",
        ]
        lines += shapes
        for (index, way) in ways.enumerated() {
            lines.append(TopologyDrawing.text(way, 20, below + 24 * index + 20))
        }
        return (lines + ["</svg>"]).joined(separator: "\n") + "\n"
    }

    private static func text(_ text: String, _ x: Int, _ y: Int, bold: Bool = false, room: Int = 120) -> String {
        var shown = PrintableText.line(text, longest: 512)
        if shown.count > room { shown = shown.prefix(room - 3) + "..." }
        return
            "<text x=\"\(x)\" y=\"\(y)\" fill=\"#18181b\"\(bold ? " font-weight=\"bold\"" : "")>\(XMLText.escaped(shown))</text>"
    }

    /// Draws a node and what is below it; returns its row.
    private mutating func add(_ node: TopologyTree.Node, _ column: Int) -> Int {
        depth = max(depth, column)
        let children = node.children.map { add($0, column + 1) }
        let row = children.first ?? rows
        if children.isEmpty { rows += 1 }
        let (x, y) = (20 + column * TopologyDrawing.across, TopologyDrawing.top + row * TopologyDrawing.down)
        let middle = y + TopologyDrawing.height / 2
        for child in children {
            let other = TopologyDrawing.top + child * TopologyDrawing.down + TopologyDrawing.height / 2
            let turn = x + TopologyDrawing.width + 20
            shapes.append(
                "<polyline points=\"\(x + TopologyDrawing.width),\(middle) \(turn),\(middle) \(turn),\(other) "
                    + "\(x + TopologyDrawing.across),\(other)\" fill=\"none\" stroke=\"#71717a\"/>")
        }
        let isRefused = refused.contains(node.name)
        shapes.append(
            "<rect x=\"\(x)\" y=\"\(y)\" width=\"\(TopologyDrawing.width)\" height=\"\(TopologyDrawing.height)\" rx=\"4\" "
                + "fill=\"\(TopologyDrawing.colours[node.kind] ?? "#ffffff")\" stroke=\"\(isRefused ? "#b91c1c" : "#71717a")\" "
                + "stroke-width=\"\(isRefused ? 2 : 1)\"/>")
        shapes.append(
            TopologyDrawing.text(node.name + (isRefused ? "  (in the way)" : ""), x + 8, y + 17, bold: true, room: 40))
        shapes.append(TopologyDrawing.text(node.title, x + 8, y + 34, room: 46))
        shapes.append(TopologyDrawing.text(node.marks.joined(separator: "; "), x + 8, y + 50, room: 46))
        return row
    }
}
