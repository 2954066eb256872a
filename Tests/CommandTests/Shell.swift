import Glibc

/// Commands in the repository's folder, of which "peerlab" is the program that was built with these tests.
enum Shell {
    /// Both streams of what a script prints, and what it ends with; results are kept in `results`, not with the user's.
    static func run(_ script: String, results: String = TranscriptTests.results + "/others") -> (
        status: Int32, output: String
    ) {
        let program = TranscriptTests.program
        let text =
            "export PEERLAB_PROGRAM='\(program)' XDG_STATE_HOME='\(results)' XDG_DATA_HOME='\(results)' "
            + "PATH=\"$(dirname '\(program)'):$PATH\"; cd '\(TranscriptTests.root)' && { \(script); } 2>&1 </dev/null"
        // Threads of a pool block signals, and a shell that inherits that waits for its children in vain.
        var (none, blocked) = (sigset_t(), sigset_t())
        pthread_sigmask(SIG_SETMASK, &none, &blocked)
        defer { pthread_sigmask(SIG_SETMASK, &blocked, nil) }
        guard let pipe = popen(text, "r") else { return (-1, "cannot run a shell") }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&buffer, 1, buffer.count, pipe), count > 0 { bytes += buffer[..<count] }
        let status = pclose(pipe)
        return (status >> 8 & 0xff, String(decoding: bytes, as: UTF8.self))
    }
}
