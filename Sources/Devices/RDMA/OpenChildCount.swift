import Kernel

/// Objects that live in another one: libibverbs would use freed memory if the parent went first.
final class OpenChildCount {
    var count = 0

    /// Ends one of them, once. What could not be ended stays open, unless the kernel knows it no more (ENOENT): that is so
    /// where it ended it before, and could only not say so.
    func end(
        _ isOpen: inout Bool, _ operation: String, _ object: @autoclosure () -> String, _ body: () throws(Errno) -> Void
    ) throws(Failure) {
        guard isOpen else { return }
        do throws(Errno) { try body() } catch {
            if error == .noEntry {
                isOpen = false
                count -= 1
            }
            throw Failure(operation, error, object: object())
        }
        isOpen = false
        count -= 1
    }
}
