import Dispatch
import Glibc
import Synchronization

/// While it exists, SIGINT, SIGTERM, SIGHUP and SIGQUIT are counted and do not end the process.
final class SignalCount: Sendable {
    private let count = Atomic<Int>(0)
    // Safe: dispatch sources may be used from any thread, and the array does not change after init.
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

    /// Number of signals so far.
    var value: Int { count.load(ordering: .relaxed) }
}
