import Glibc

/// Verbs that call one of our functions with a common convention (CKernel/include/verbs.h): they return 0 or a negated
/// errno; a result goes through a pointer, their first argument.
extension Verb {
    /// A verb without a result.
    convenience init(
        _ name: String, _ parameters: repeat VerbParameter<each Argument>,
        encoding: (@Sendable (repeat each Argument) -> [Operation.Value])? = nil, ends: Bool = false,
        isOfDataPath: Bool = false, inC: CForm = .plain, refusals: [Refusal],
        live: @escaping @Sendable (repeat each Argument) -> Int
    ) where Answer == Void {
        self.init(
            name, repeat each parameters, encoding: encoding, answer: .unseen, ends: ends, isOfDataPath: isOfDataPath,
            inC: inC, refusals: refusals
        ) { (arguments: repeat each Argument) throws(Errno) in
            try check(live(repeat each arguments))
        }
    }

    /// A verb that fills a structure, which traces do not show.
    convenience init(
        _ name: String, _ parameters: repeat VerbParameter<each Argument>,
        filling empty: @escaping @Sendable () -> Answer, inC: CForm = .plain, refusals: [Refusal],
        live: @escaping @Sendable (UnsafeMutablePointer<Answer>, repeat each Argument) -> Int
    ) {
        self.init(name, repeat each parameters, answer: .unseen, inC: inC, refusals: refusals) {
            (arguments: repeat each Argument) throws(Errno) in
            var answer = empty()
            try check(live(&answer, repeat each arguments))
            return answer
        }
    }

    /// A verb that creates an object; traces show these members of it.
    convenience init<Object>(
        _ name: String, _ parameters: repeat VerbParameter<each Argument>, makes kind: ObjectKind,
        outputs: [VerbMember<Object>] = [], inC: CForm = .plain, refusals: [Refusal],
        live: @escaping @Sendable (UnsafeMutablePointer<UnsafeMutablePointer<Object>?>, repeat each Argument) -> Int
    ) where Answer == UnsafeMutablePointer<Object> {
        self.init(name, repeat each parameters, answer: .object(kind, outputs), inC: inC, refusals: refusals) {
            (arguments: repeat each Argument) throws(Errno) in
            var object: UnsafeMutablePointer<Object>?
            try check(live(&object, repeat each arguments))
            guard let object else { throw Errno(EIO) }
            return object
        }
    }

    /// A verb that creates an object whose structure is opaque.
    convenience init(
        _ name: String, _ parameters: repeat VerbParameter<each Argument>, makes kind: ObjectKind, inC: CForm = .plain,
        refusals: [Refusal],
        live: @escaping @Sendable (UnsafeMutablePointer<UnsafeMutableRawPointer?>, repeat each Argument) -> Int
    ) where Answer == UnsafeMutableRawPointer {
        self.init(name, repeat each parameters, answer: .object(kind), inC: inC, refusals: refusals) {
            (arguments: repeat each Argument) throws(Errno) in
            var object: UnsafeMutableRawPointer?
            try check(live(&object, repeat each arguments))
            guard let object else { throw Errno(EIO) }
            return object
        }
    }
}

/// Throws the errno that a function of CKernel returned.
func check(_ result: Int) throws(Errno) {
    if let errno = Errno(result: result) { throw errno }
}
