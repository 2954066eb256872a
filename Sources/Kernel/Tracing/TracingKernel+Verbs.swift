import CKernel

/// The verbs half of the trace. See ``VerbsCalls``.
extension TracingKernel {
    /// See ``VerbsCalls``.
    public func call<Answer, each Argument>(
        _ verb: Verb<Answer, repeat each Argument>, _ arguments: repeat each Argument
    ) throws(Errno) -> Answer {
        guard watches || faults != nil else { return try kernel.call(verb, repeat each arguments) }
        // This call also reaches the context's functions, which would record it a second time.
        if verb.isOfDataPath { dataPath?.pause() }
        defer { if verb.isOfDataPath { dataPath?.resume() } }
        if let dataPath, verb === Verbs.ibv_close_device, let context = verb.object(repeat each arguments) {
            dataPath.forget(context.assumingMemoryBound(to: ibv_context.self))
        }
        let operation =
            watches ? verb.operation(repeat each arguments) : Operation(verb.signature, [])
        let answer = try call(operation) { (answer: Answer, operation: inout Operation) in
            verb.note(answer, repeat each arguments, in: &operation)
        } _: { () throws(Errno) in
            try kernel.call(verb, repeat each arguments)
        }
        if let dataPath, verb === Verbs.ibv_open_device, let context = verb.object(in: answer) {
            dataPath.watch(context.assumingMemoryBound(to: ibv_context.self))
        }
        return answer
    }
}
