import CKernel
public import Devices
import Kernel
public import LuaKit

extension MemoryWindow: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "memory window" }
}

/// pd:alloc_mw
let allocMWFunction = Function(
    "alloc_mw", [Parameter("type", .integer(1...2), .integer(2), "2 is bound by qp:post_send; 1 cannot be bound here")],
    returns: [.object(MemoryWindow.self)], errors: [("EOPNOTSUPP", "the driver has none of this type")],
    "ibv_alloc_mw: a key of its own for a part of a region, once it is bound.",
    entry: {
        Call($0, $1).run { call in
            let domain = call[0].object(ProtectionDomain.self)
            let label = "of \(domain.pointee.label)"
            return call.push(object: try domain.pointee.allocMW(type: call[1].uint32), parent: 1, label: label)
        }
    })

let mwClass = ObjectClass(
    MemoryWindow.luaName, type: "rdma.mw", short: "mw", "A memory window.",
    methods: [
        Function(
            "rkey", returns: [.integer], "The remote key; another one from each qp:post_send on that binds it.",
            entry: { Call($0, $1).run { call in call.push(Int64(call[0].object(MemoryWindow.self).pointee.rkey)) } })
    ],
    close: { closeObject($0, $1, $2, MemoryWindow.self) }, destroy: { destroyObject($0, MemoryWindow.self) })

/// What a window's key becomes: the lowest byte of `wanted`, or one more than it was. verbs.h:ibv_inc_rkey
func windowKey(_ window: borrowing MemoryWindow, _ wanted: UInt32) -> UInt32 {
    let key = window.rkey
    return key & ~0xff | (wanted == 0 ? key &+ 1 : wanted) & 0xff
}
