import Glibc
public import Kernel

/// The model's implementation of one verb: a method of SimKernel with the verb's arguments.
final class VerbAnswer<Answer, each Argument>: AnyVerbAnswer {
    let verb: any AnyVerb
    private let body: @Sendable (SimKernel) -> (repeat each Argument) throws(Errno) -> Answer
    private let nanoseconds: UInt64

    /// - Parameter nanoseconds: how far the virtual clock goes on before the answer. Waiting and transport add to it.
    init(
        _ verb: Verb<Answer, repeat each Argument>, takes nanoseconds: UInt64 = 1000,
        _ body: @escaping @Sendable (SimKernel) -> (repeat each Argument) throws(Errno) -> Answer
    ) {
        self.verb = verb
        self.nanoseconds = nanoseconds
        self.body = body
    }

    func answer(_ kernel: SimKernel, _ arguments: repeat each Argument) throws(Errno) -> Answer {
        kernel.pass(nanoseconds)
        return try body(kernel)(repeat each arguments)
    }
}

/// An answer without its types.
protocol AnyVerbAnswer: AnyObject, Sendable {
    var verb: any AnyVerb { get }
}

/// The verbs half of the seam. See ``VerbsCalls``.
extension SimKernel {
    /// All implementations. Each family's list stands beside its model.
    private static let answers: [ObjectIdentifier: any AnyVerbAnswer] = Dictionary(
        uniqueKeysWithValues: (deviceAnswers + regionAnswers + handleAnswers + completionAnswers + queueAnswers
            + deviceMemoryAnswers + windowAnswers).map { (ObjectIdentifier($0.verb), $0) })

    /// See ``VerbsCalls``. A verb that the model has no answer to is ENOSYS, and counts as not modelled.
    public func call<Answer, each Argument>(
        _ verb: Verb<Answer, repeat each Argument>, _ arguments: repeat each Argument
    ) throws(Errno) -> Answer {
        guard let answer = SimKernel.answers[ObjectIdentifier(verb)] as? VerbAnswer<Answer, repeat each Argument> else {
            throw notModelled(verb.signature.name, ENOSYS)
        }
        return try answer.answer(self, repeat each arguments)
    }

    /// The verbs that the model has no answer to.
    public static var unmodelledVerbs: [any AnyVerb] { Verbs.all.filter { answers[ObjectIdentifier($0)] == nil } }
}
