/// Why a call may have been refused, held against its arguments: which causes apply, which are ruled out, which remain.
public struct Causes: Sendable {
    private var applying: [String] = []
    private var excluded: [String] = []
    private var remaining: [String] = []

    /// No cause yet.
    public init() {}

    /// A cause that the arguments decide.
    /// - Parameters:
    ///   - applies: whether they show it.
    ///   - text: what is wrong, and what to do instead.
    ///   - excluded: what is in order where it does not apply: "the range lies inside the dma-buf".
    public mutating func decide(_ applies: Bool, _ text: String, else excluded: String) {
        if applies { applying.append(text) } else { self.excluded.append(excluded) }
    }

    /// A cause that only the kernel can see.
    public mutating func leave(_ text: String) { remaining.append(text) }

    /// The causes that apply; where none does, what is in order and what remains.
    public var hint: String {
        guard applying.isEmpty else { return applying.joined(separator: "; and ") }
        let rest = remaining.isEmpty ? "no cause that is known here remains" : remaining.joined(separator: ", or ")
        guard !excluded.isEmpty else { return rest }
        return "\(excluded.joined(separator: ", ")), so what remains is: \(rest)"
    }
}
