/// A variable, or a field of one, whose type a file tests, as `type(opt.size)` does.
struct TypeTest: Hashable {
    private let root: ObjectIdentifier
    private let keys: [String]

    /// nil for other expressions.
    init?(_ expression: Expression) {
        switch expression.kind {
        case .local(let variable): (root, keys) = (ObjectIdentifier(variable), [])
        case .index(let object, let key):
            guard let owner = TypeTest(object), let name = key.text else { return nil }
            (root, keys) = (owner.root, owner.keys + [name])
        default: return nil
        }
    }
}
