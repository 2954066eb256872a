/// libibverbs, and other calls on the same devices: the second half of the seam. One requirement serves all verbs; the
/// library's several error conventions become one here (a thrown errno). Providers' private formats stay below this
/// line; they are not documented.
public protocol VerbsCalls: AnyObject {
    /// Makes a call: `kernel.call(Verbs.ibv_alloc_pd, context)`. Throws ENOSYS where the library, or a model, lacks the
    /// function.
    func call<Answer, each Argument>(
        _ verb: Verb<Answer, repeat each Argument>, _ arguments: repeat each Argument
    ) throws(Errno) -> Answer
}
