import Glibc

/// Times whole processes, exec to exit: two commands in turn, A B B A, so that a machine that slows down slows both.
enum Processes {
    /// `words` are the first command, "--", the second one. Prints medians and the median of the rounds' ratios.
    static func compare(_ words: [String], rounds: Int = 30) {
        guard let middle = words.firstIndex(of: "--") else { return print("Benchmark processes A... -- B...") }
        let a = Array(words[..<middle])
        let b = Array(words[(middle + 1)...])
        _ = (time(a), time(b))
        var times: (a: [Double], b: [Double], ratios: [Double]) = ([], [], [])
        for round in 0..<rounds {
            let first = round % 2 == 0 ? time(a) : nil
            let second = time(b)
            guard let ours = first ?? time(a), let rival = second else { return print("a command failed") }
            times.a.append(ours)
            times.b.append(rival)
            times.ratios.append(ours / rival)
        }
        let text = [median(times.a) / 1e6, median(times.b) / 1e6].map(twoPlaces)
        print(
            "\(a[0].split(separator: "/").last ?? "") \(text[0]) ms, \(b[0].split(separator: "/").last ?? "") \(text[1]) ms, "
                + "ratio \(twoPlaces(median(times.ratios))) over \(rounds) rounds")
    }

    static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

    static func twoPlaces(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        return "\(hundredths / 100)." + (hundredths % 100 < 10 ? "0" : "") + "\(hundredths % 100)"
    }

    /// Nanoseconds from spawn to exit, output thrown away; nil where it failed.
    private static func time(_ command: [String]) -> Double? {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
        var words = command.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var process: pid_t = 0
        let start = now()
        guard posix_spawnp(&process, command[0], &actions, nil, &words, environ) == 0 else { return nil }
        var status: Int32 = 0
        guard waitpid(process, &status, 0) == process, status == 0 else { return nil }
        return Double(now() - start)
    }

    static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
