import ArgumentParser
import ConnectX
import VFIOUser

/// A function to serve, in text form: its kind, and options after commas.
enum ServedFunction {
    case exporter(Exporter.Description)
    case connectx(HCAOptions)

    /// "exporter" or "connectx", and KEY=VALUE after commas.
    init(_ text: String) throws(ValidationError) {
        let parts = text.split(separator: ",", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        switch parts[0] {
        case "exporter":
            self = .exporter(parts.count > 1 ? try Exporter.Description(parts[1]) : Exporter.Description())
        case "connectx":
            do throws(HCAOptions.Invalid) {
                self = .connectx(parts.count > 1 ? try HCAOptions(parts[1]) : HCAOptions())
            } catch {
                throw ValidationError(error.reason)
            }
        default:
            throw ValidationError(
                "a function is exporter or connectx, and KEY=VALUE behind commas, not '\(text)'")
        }
    }
}
