public import ArgumentParser
public import Results

extension BatchLabel {
    /// Throws for a text that is no label.
    public static func check(_ text: String) throws {
        guard isUsable(text) else { throw ValidationError("a label is \(rule), not '\(text)'") }
    }
}

/// `--label`
public struct LabelOption: ParsableArguments {
    /// No label.
    public init() {}

    /// The label.
    @Option(
        help: ArgumentHelp(
            "Name the results, so that peerlab results finds them: before-firmware.", valueName: "NAME"))
    public var label: String?

    /// See `ParsableArguments`.
    public func validate() throws { if let label { try BatchLabel.check(label) } }
}
