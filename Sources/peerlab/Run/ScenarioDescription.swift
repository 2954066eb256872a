import Devices
import Kernel
import LuaCheck
import LuaKit
import Runner
import SimKernel

/// What a scenario's file says of itself: it is loaded on a bench without devices, and none of its cases is run. `case:bench()`
/// tells it of the bench that was asked for, for what it declares may depend on that. A plain script, whose every line would
/// run, is not loaded: its text shows that it returns nothing.
struct ScenarioDescription {
    /// nil for a plain script.
    let scenario: Scenario?
    /// Whether the file returns a table without any key of a scenario: it is a module.
    let isModule: Bool
    /// Why the file cannot be loaded, or is neither a scenario nor a plain script; nil where it is one.
    let error: ErrorValue?

    /// Throws where the file cannot be read.
    init(_ file: String, _ library: Library, isSimulated: Bool) throws(ErrorValue) {
        let bench = Bench(
            kind: "none", description: "", isSimulated: isSimulated, tph: .off, makeKernel: { SimKernel(Topology()) })
        let script = try ScenarioScript(file, in: RunContext(bench, library))
        guard !LuaChecker.returnsNothing(script.text) else {
            (scenario, isModule, error) = (nil, false, nil)
            return
        }
        var scenario: Scenario?, error: ErrorValue?
        do throws(ErrorValue) { scenario = try script.describe() } catch let reason { error = reason }
        (self.scenario, self.error) = (scenario, error)
        isModule = script.returnsNoScenario
    }
}
