import ArgumentParser
import ConnectX

/// The NIC that `--lab-nic` describes.
struct LabNIC {
    /// The option's text.
    let text: String
    /// The parsed options.
    let options: HCAOptions
    /// Whether the text sets TPH options.
    let namesTPH: Bool

    /// "connectx", and KEY=VALUE after commas.
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
