import Kernel
import LuaKit

/// What the tables of refusals say: which errnos a call answers, and which calls answer an errno.
enum ErrorReference {
    /// An errno by its name or number, or a call by its name; nil where neither is known.
    static func lines(_ word: String) -> [String]? {
        if let errno = errno(word) { return lines(errno) }
        let known = Refusal.all(of: word)
        guard !known.isEmpty else { return nil }
        return ["\(word) answers"] + known.sorted { $0.name < $1.name }.map { line($0.name, $0.hint) }
    }

    /// What may be asked for.
    static var overview: [String] {
        [
            "`peerlab help errors EINVAL` tells which calls answer an errno and why, `peerlab help errors CALL` what a "
                + "call answers. Errors of a run say more where the arguments do. Calls that are known:", "",
        ] + Refusal.operations.map { "  \($0)" }
    }

    /// The nearest of all errnos and calls.
    static func nearest(to word: String) -> String? {
        LuaKit.nearest(to: word.uppercased(), in: Errno.allNames)
            ?? LuaKit.nearest(to: word, in: Refusal.operations)
    }

    /// Whether a word is the name of an errno; a number alone may mean anything.
    static func isErrno(_ word: String) -> Bool { Errno(name: word.uppercased()) != nil }

    private static func errno(_ word: String) -> Errno? {
        if let code = Int32(word), code > 0, Errno.allNames.contains(Errno(code).name) { return Errno(code) }
        return Errno(name: word.uppercased())
    }

    private static func lines(_ errno: Errno) -> [String] {
        var lines = ["\(errno.name) (\(errno.code)): \(errno.message)"]
        let calls = Refusal.operations.flatMap { operation in
            Refusal.all(of: operation).filter { $0.name == errno.name }.map { (operation, $0.hint) }
        }
        let subjects = RefusalSubject.allCases.compactMap { subject in
            Refusal.hint(of: subject, errno).map { (subject.rawValue, $0) }
        }
        guard !calls.isEmpty || !subjects.isEmpty else {
            return lines + ["No call that is known here answers it for a reason of its own."]
        }
        lines += [""] + calls.map { line($0, $1) }
        if !subjects.isEmpty { lines += ["", "and where a call is made on"] + subjects.map { line($0, $1) } }
        return lines
    }

    private static func line(_ name: String, _ hint: String) -> String {
        "  \(name)" + (hint.isEmpty ? "" : ": \(hint)")
    }
}
