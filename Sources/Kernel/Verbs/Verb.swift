/// A function of libibverbs, or another call on the same device. Traces, records, replays, exported C, fault plans and
/// the live kernel all use this one description. Its C arguments have Swift types; a ``VerbParameter`` defines how each is
/// written in a trace and read back.
///
/// Every verb is a constant of ``Verbs``, and is called through a kernel: `kernel.call(Verbs.ibv_alloc_pd, context)`.
public final class Verb<Answer, each Argument>: AnyVerb {
    /// See ``AnyVerb``.
    public let signature: Signature
    /// See ``AnyVerb``.
    public let refusals: [Refusal]
    /// See ``AnyVerb``.
    public let made: ObjectKind?
    /// See ``AnyVerb``.
    public let ends: Bool
    /// See ``AnyVerb``.
    public let inC: CForm
    /// Whether one answer is valid for the kernel object's whole life, because the memory it points to is.
    public let isAskedOnce: Bool
    /// Whether it goes through a context's own functions (struct ibv_context_ops), which data loops call directly.
    let isOfDataPath: Bool
    private let parameters: (repeat VerbParameter<each Argument>)
    private let encoding: (@Sendable (repeat each Argument) -> [Operation.Value])?
    private let answer: VerbAnswer<Answer>
    private let body: @Sendable (repeat each Argument) throws(Errno) -> Answer

    /// From its parts.
    /// - Parameters:
    ///   - parameters: in C order; of structures only the relevant members.
    ///   - encoding: converts the arguments for an operation, where one of them determines how another is written.
    ///   - answer: the result of a success.
    ///   - ends: whether a success destroys the object that is its first argument.
    ///   - live: makes the call.
    init(
        _ name: String, _ parameters: repeat VerbParameter<each Argument>,
        encoding: (@Sendable (repeat each Argument) -> [Operation.Value])? = nil, answer: VerbAnswer<Answer>,
        ends: Bool = false, isAskedOnce: Bool = false, isOfDataPath: Bool = false, inC: CForm = .plain,
        refusals: [Refusal], live: @escaping @Sendable (repeat each Argument) throws(Errno) -> Answer
    ) {
        var columns: [Signature.Parameter] = []
        var members = answer.members
        for parameter in repeat each parameters {
            columns += parameter.columns
            members += parameter.members
        }
        signature = Signature(name, columns, result: answer.result, outputs: answer.outputs, members: members)
        self.refusals = refusals
        self.ends = ends
        self.inC = inC
        self.isAskedOnce = isAskedOnce
        self.isOfDataPath = isOfDataPath
        made = answer.object
        self.parameters = (repeat each parameters)
        self.encoding = encoding
        self.answer = answer
        body = live
    }

    /// Makes the call on this machine.
    public func live(_ arguments: repeat each Argument) throws(Errno) -> Answer { try body(repeat each arguments) }

    /// The object that is its first argument; nil where the first argument is not an object.
    public func object(_ arguments: repeat each Argument) -> UnsafeMutableRawPointer? {
        for (parameter, argument) in repeat (each parameters, each arguments) {
            return parameter.object?(argument)
        }
        return nil
    }

    /// The object that a call has created; nil for a verb that creates none.
    public func object(in answer: Answer) -> UnsafeMutableRawPointer? { self.answer.pointer?(answer) }

    /// The call as an operation, before it is made.
    func operation(_ arguments: repeat each Argument) -> Operation {
        Operation(signature, encoding?(repeat each arguments) ?? values(repeat each arguments, isAnswered: false))
    }

    /// What a call asks for, as errors show it: "length=0x1000, access=LOCAL_WRITE". Without its objects, of which errors name
    /// the first, and without data.
    public func request(_ arguments: repeat each Argument) -> String {
        let operation = operation(repeat each arguments)
        return zip(signature.parameters, operation.arguments).compactMap { parameter, value in
            switch (parameter.format, value) {
            case (.handle, _), (_, .bytes): nil
            default: "\(parameter.name)=\(operation.text(value, PlainNames()))"
            }
        }.joined(separator: ", ")
    }

    /// Adds what a success gave.
    public func note(_ answer: Answer, _ arguments: repeat each Argument, in operation: inout Operation) {
        if signature.parameters.contains(where: \.isOutput) {
            operation.arguments = values(repeat each arguments, isAnswered: true)
        }
        self.answer.note(answer, &operation)
    }

    private func values(_ arguments: repeat each Argument, isAnswered: Bool) -> [Operation.Value] {
        var values: [Operation.Value] = []
        for (parameter, argument) in repeat (each parameters, each arguments) {
            values += parameter.encode(argument, isAnswered)
        }
        return values
    }

    /// See ``AnyVerb``.
    public func call(again values: [Operation.Value], on kernel: any VerbsCalls) -> Bool {
        let values = RecordedArguments(values)
        // `values` owns memory that the decoded arguments point to.
        defer { withExtendedLifetime(values) {} }
        let arguments: (repeat each Argument)
        do { arguments = (repeat try (each parameters).decoded(values)) } catch { return false }
        // The answer is not needed here: the kernel's recorder gets it.
        _ = try? kernel.call(self, repeat each arguments)
        return true
    }
}

/// A verb without its types.
public protocol AnyVerb: AnyObject, Sendable {
    /// Name, parameters and results, for traces and records.
    var signature: Signature { get }
    /// Its errors.
    var refusals: [Refusal] { get }
    /// The kind of object that a success creates.
    var made: ObjectKind? { get }
    /// Whether a success destroys the object that is its first argument.
    var ends: Bool { get }
    /// Its form in exported C.
    var inC: CForm { get }
    /// Repeats a recorded call, with numbers in place of names.
    /// - Returns: false where an object that it needs is missing, so that the call was not made.
    func call(again values: [Operation.Value], on kernel: any VerbsCalls) -> Bool
}

/// A kind of object that libibverbs creates.
public struct ObjectKind: Sendable {
    /// Its name in parameters and records: "mr".
    public let name: String
    /// Its name in lists of open objects: "memory region".
    public let noun: String
    /// The C type of a pointer to one: "struct ibv_mr *".
    public let type: String

    init(_ name: String, _ noun: String, _ type: String) { (self.name, self.noun, self.type) = (name, noun, type) }
}

/// The form of a verb in exported C, where `$0`, `$1` and so on are its arguments.
public enum CForm: Sendable {
    /// A call with its name and arguments.
    case plain
    /// Another call, with these declarations before it.
    case call(String, [CDeclaration] = [])
    /// A call whose result is a number, which is compared.
    case number(String)
    /// The list of devices, each of which is found by its name.
    case deviceList
    /// The GID table, each entry of which is read with ibv_query_gid.
    case gidTable
    /// A wait on the channel's descriptor, and then the call.
    case completionEvent
    /// A chain of struct ibv_send_wr or ibv_recv_wr.
    case work(String)
    /// A poll until as many completions came as the record has.
    case completions
    /// Not exported: installed libraries often lack it, or it is not part of libibverbs.
    case none
}

/// A declaration that a call in exported C needs.
public enum CDeclaration: Sendable {
    /// Lines as they are.
    case lines([String])
    /// A structure, such as "struct ibv_ah_attr attr", from the members that an argument has.
    case structure(String, argument: Int)
}
