import Dispatch
import Glibc
import Synchronization

/// Counts SIGINT, SIGTERM, SIGHUP and SIGQUIT instead of dying of them, for as long as it lives.
final class SignalCount: Sendable {
    private let count = Atomic<Int>(0)
    // Dispatch sources are safe to use from any thread; nothing here is changed after init.
    nonisolated(unsafe) private var sources: [any DispatchSourceSignal] = []

    init() {
        sources = [SIGINT, SIGTERM, SIGHUP, SIGQUIT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { @Sendable [self] in count.add(1, ordering: .relaxed) }
            source.resume()
            return source
        }
    }

    /// How many came so far.
    var value: Int { count.load(ordering: .relaxed) }
}
