import ArgumentParser
import Commands

/// The NIC that `--lab-nic` asks for.
struct LabNIC {
    /// Options of `peerlab device connectx`, as words.
    let words: [String]
    /// What it has of TPH; nil for what it has by default.
    let tph: String?

    /// "connectx", and "option=value" behind commas.
    init(_ text: String) throws(ValidationError) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard parts[0] == "connectx" else {
            throw ValidationError("--lab-nic takes connectx, and OPTION=VALUE behind commas, not '\(text)'")
        }
        var words: [String] = [], tph: String?
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard pair.count == 2, !pair[0].isEmpty, !pair[1].isEmpty,
                pair[0].utf8.allSatisfy({ (0x61...0x7a).contains($0) || $0 == 0x2d }), pair[0].first != "-"
            else { throw ValidationError("--lab-nic takes OPTION=VALUE behind connectx, not '\(part)'") }
            words += ["--\(pair[0])", pair[1]]
            if pair[0] == "tph" { tph = pair[1] }
        }
        self.words = words
        self.tph = tph
    }
}
