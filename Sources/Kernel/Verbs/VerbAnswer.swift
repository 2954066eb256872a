/// The result of a verb's success, and its form in traces and records.
struct VerbAnswer<Answer>: Sendable {
    /// The format of the result.
    let result: Format
    /// What else comes out, by name.
    let outputs: [Signature.Member]
    /// Members of structures among the outputs.
    let members: [Signature.Member]
    /// The kind of object, where the answer is one.
    let object: ObjectKind?
    let pointer: (@Sendable (Answer) -> UnsafeMutableRawPointer)?
    /// Adds the answer to an operation.
    let note: @Sendable (Answer, inout Operation) -> Void

    private init(
        result: Format = .decimal, outputs: [Signature.Member] = [], members: [Signature.Member] = [],
        object: ObjectKind? = nil, pointer: (@Sendable (Answer) -> UnsafeMutableRawPointer)? = nil,
        note: @escaping @Sendable (Answer, inout Operation) -> Void
    ) {
        self.result = result
        self.outputs = outputs
        self.members = members
        self.object = object
        self.pointer = pointer
        self.note = note
    }

    /// A result that traces do not show.
    static var unseen: VerbAnswer { VerbAnswer { _, _ in } }

    /// A result and outputs with their own conversion.
    static func noted(
        outputs: [Signature.Member] = [], members: [Signature.Member] = [],
        _ note: @escaping @Sendable (Answer, inout Operation) -> Void
    ) -> VerbAnswer { VerbAnswer(outputs: outputs, members: members, note: note) }

    /// An object, with these of its members.
    static func object<Object>(_ kind: ObjectKind, _ outputs: [VerbMember<Object>] = []) -> VerbAnswer
    where Answer == UnsafeMutablePointer<Object> {
        let format = Format.handle(kind.name)
        return VerbAnswer(
            result: format, outputs: outputs.map { .init($0.name, $0.format) }, object: kind, pointer: { .init($0) }
        ) { object, operation in
            operation.result = .number(address(object), format)
            operation.outputs = outputs.map { .init($0.name, $0.value(in: object.pointee)) }
        }
    }

    /// An object whose structure is opaque.
    static func object(_ kind: ObjectKind) -> VerbAnswer where Answer == UnsafeMutableRawPointer {
        let format = Format.handle(kind.name)
        return VerbAnswer(result: format, object: kind, pointer: { $0 }) { object, operation in
            operation.result = .number(address(object), format)
        }
    }
}
