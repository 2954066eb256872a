public import Kernel

/// libibverbs: each verb is called as its description says. See ``VerbsCalls``.
extension LiveKernel {
    /// See ``VerbsCalls``. Objects are known from their making to their end.
    public func call<Answer, each Argument>(
        _ verb: Verb<Answer, repeat each Argument>, _ arguments: repeat each Argument
    ) throws(Errno) -> Answer {
        if verb.isAskedOnce, let known = askedOnce[ObjectIdentifier(verb)] as? Answer { return known }
        let ending = verb.ends ? verb.object(repeat each arguments) : nil
        let answer: Answer
        do throws(Errno) { answer = try verb.live(repeat each arguments) } catch {
            // The kernel knows the object no more: it ended it before, and could only not say so.
            if let ending, error == .noEntry { openVerbs[ending] = nil }
            throw error
        }
        if let ending { openVerbs[ending] = nil }
        if let kind = verb.made, let made = verb.object(in: answer) { openVerbs[made] = kind.noun }
        if verb.isAskedOnce { askedOnce[ObjectIdentifier(verb)] = answer }
        return answer
    }
}
