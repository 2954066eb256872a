/// libibverbs, and what stands beside it on the same devices: the other half of the seam. One requirement for all verbs; the
/// library's several error conventions are one here (a thrown errno). Below this line lie private formats of the providers,
/// which nobody documents.
public protocol VerbsCalls: AnyObject {
    /// Makes a call: `kernel.call(Verbs.ibv_alloc_pd, context)`. ENOSYS where the library, or a model, lacks the function.
    func call<Answer, each Argument>(
        _ verb: Verb<Answer, repeat each Argument>, _ arguments: repeat each Argument
    ) throws(Errno) -> Answer
}
