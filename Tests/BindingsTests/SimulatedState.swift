import Bindings
import Devices
import Kernel
import LuaKit
import SimKernel

/// A Lua state with all modules on a simulated kernel, and its host. The caller closes it.
func simulatedState(_ kernel: TracingKernel, _ modules: [Module] = modules) -> (host: Host, state: LuaState) {
    let host = Host(kernel: kernel, isSimulated: true, tph: TPHResolver(.auto))
    let state = LuaState(
        context: host, find: { name throws(ErrorValue) in throw ErrorValue(kind: .script, name) }, print: { _ in })
    state.offer(modules)
    return (host, state)
}
