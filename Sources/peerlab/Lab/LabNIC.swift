import ArgumentParser
import ConnectX

/// The NIC that `--lab-nic` asks for.
struct LabNIC {
    /// The text that it was made of.
    let text: String
    /// The same, understood.
    let options: HCAOptions
    /// Whether the text says of TPH what it is to have.
    let namesTPH: Bool

    /// "connectx", and KEY=VALUE behind commas.
    init(_ text: String) throws(ValidationError) {
        let parts = text.split(separator: ",", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts[0] == "connectx" else {
            throw ValidationError("--lab-nic takes connectx, and KEY=VALUE behind commas, not '\(text)'")
        }
        self.text = text
        do throws(HCAOptions.Invalid) { options = parts.count > 1 ? try HCAOptions(parts[1]) : HCAOptions() } catch {
            throw ValidationError("--lab-nic: \(error.reason)")
        }
        namesTPH = self.text.split(separator: ",").contains { $0.hasPrefix("tph") }
    }
}
