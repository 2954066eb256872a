public import Kernel

/// libibverbs: each verb is called as its description says; see ``VerbsCalls``.
extension LiveKernel {
    /// See ``VerbsCalls``. Objects are known from their making to their end.
    public func call<Answer, each Argument>(
        _ verb: Verb<Answer, repeat each Argument>, _ arguments: repeat each Argument
    ) throws(Errno) -> Answer {
        if verb.isAskedOnce, let known = askedOnce[ObjectIdentifier(verb)] as? Answer { return known }
        let ending = verb.ends ? verb.object(repeat each arguments) : nil
        let answer: Answer
        do throws(Errno) { answer = try verb.live(repeat each arguments) } catch {
            // ENOENT: the kernel has destroyed the object already, and could only not report that.
            if let ending, error == .noEntry { openVerbs[ending] = nil }
            throw error
        }
        if let ending { openVerbs[ending] = nil }
        if let kind = verb.made, let made = verb.object(in: answer) { openVerbs[made] = kind.noun }
        if verb.isAskedOnce { askedOnce[ObjectIdentifier(verb)] = answer }
        return answer
    }
}
