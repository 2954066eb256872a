import Devices
import Kernel
import LuaKit
import Runner
import SimKernel

/// What a scenario's file says of itself: it is loaded on a bench without devices, and none of its cases is run. `case:bench()`
/// tells it of the bench that was asked for, for what it declares may depend on that.
struct ScenarioDescription {
    /// nil of a plain script.
    let scenario: Scenario?
    /// Whether the file returns a table that has nothing of a scenario: a module's.
    let isModule: Bool
    /// Why it cannot be loaded, or is no scenario; nil where it is one, or a plain script.
    let error: ErrorValue?

    /// Throws where the file cannot be read.
    init(_ file: String, _ library: Library, isSimulated: Bool) throws(ErrorValue) {
        let bench = Bench(
            kind: "none", description: "", isSimulated: isSimulated, tph: .off, makeKernel: { SimKernel(Topology()) })
        let script = try ScenarioScript(file, in: RunContext(bench, library))
        var scenario: Scenario?, error: ErrorValue?
        do throws(ErrorValue) { scenario = try script.describe() } catch let reason { error = reason }
        (self.scenario, self.error) = (scenario, error)
        isModule = script.returnsNoScenario
    }
}
