/// Possible causes of an error, compared with the call's arguments: those that apply, those that are excluded, and the
/// rest.
public struct Causes: Sendable {
    private var applying: [String] = []
    private var excluded: [String] = []
    private var remaining: [String] = []

    /// No cause yet.
    public init() {}

    /// Adds a cause that the arguments confirm or exclude.
    /// - Parameters:
    ///   - applies: whether the arguments confirm it.
    ///   - text: the mistake, and what to do instead.
    ///   - excluded: the fact that excludes it: "the range lies inside the dma-buf".
    public mutating func decide(_ applies: Bool, _ text: String, else excluded: String) {
        if applies { applying.append(text) } else { self.excluded.append(excluded) }
    }

    /// Adds a cause that only the kernel can check.
    public mutating func leave(_ text: String) { remaining.append(text) }

    /// The causes that apply; without any, the excluded ones and the rest.
    public var hint: String {
        guard applying.isEmpty else { return applying.joined(separator: "; and ") }
        let rest = remaining.isEmpty ? "no cause that is known here remains" : remaining.joined(separator: ", or ")
        guard !excluded.isEmpty else { return rest }
        return "\(excluded.joined(separator: ", ")), so what remains is: \(rest)"
    }
}
