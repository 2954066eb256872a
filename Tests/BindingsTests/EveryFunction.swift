import Bindings
import Devices
import LuaKit
import SimKernel
import TestBench

/// Arguments that pass a function's checks, as Lua text, made from its description. Objects are variables of the script.
func arguments(_ parameters: [Parameter]) -> String {
    parameters.map { text($0.type) }.joined(separator: ", ")
}

func text(_ type: LuaType) -> String {
    switch type {
    case .integer(let range): return "\(min(max(range.lowerBound, 1), range.upperBound))"
    case .size(let range): return "\(min(max(range.lowerBound, 4096), range.upperBound))"
    case .time(let range): return "\"\(max(range.lowerBound, 1))ms\""
    case .number: return "1.5"
    case .boolean: return "true"
    case .string: return "\"0000:01:00.0\""
    case .choice(let names): return "\"\(names[0].name)\""
    case .flags(let names): return "{\"\(names[0].name)\"}"
    case .object(let name): return "objects[\"\(name)\"]"
    case .record(let fields): return "{" + fields.map { "\($0.name) = \(text($0.type))" }.joined(separator: ", ") + "}"
    case .list(let element, _): return "{\(text(element))}"
    case .any: return "1"
    }
}

/// Calls with one list or table argument made wrong, each with what is wrong: a key that no list has, a hole, a key that
/// nobody knows, an element without a name, a number beyond its range.
func wrongTexts(_ type: LuaType) -> [String] {
    switch type {
    case .list(let element, _):
        let good = text(element)
        return ["{\(good), unknown_key = 1}", "{[2] = \(good)}", "{[0] = \(good), \(good)}", "{unknown_key = 1}"]
            + wrongTexts(element).map { "{\($0)}" }
    case .flags(let names): return ["{\"\(names[0].name)\", unknown_key = 1}", "{[2] = \"\(names[0].name)\"}"]
    case .record(let fields):
        let all = fields.map { "\($0.name) = \(text($0.type))" }
        let good = all.joined(separator: ", ")
        return ["{\(good), unknown_key = 1}", "{\(good), 1}"]
            + fields.enumerated().flatMap { place, field in
                wrongTexts(field.type).map { wrong in
                    var changed = all
                    changed[place] = "\(field.name) = \(wrong)"
                    return "{" + changed.joined(separator: ", ") + "}"
                }
            }
    case .integer(let range), .size(let range), .time(let range):
        return (range.lowerBound > .min ? ["\(range.lowerBound - 1)"] : [])
            + (range.upperBound < .max ? ["\(range.upperBound + 1)"] : []) + ["1.5"]
    default: return []
    }
}

/// Every function with one of its arguments wrong.
let wrongCalls: [(name: String, call: String)] = modules.flatMap { module in
    module.functions.flatMap { function in
        wrong(function.parameters).map {
            (name: "\(module.name).\(function.name)", call: "require(\"\(module.name)\").\(function.name)(\($0))")
        }
    }
        + module.classes.flatMap { description in
            description.methods.flatMap { method in
                wrong(method.parameters).map { list in
                    let receiver = "objects[\"\(description.name)\"]"
                    return (
                        name: "\(description.short):\(method.name)",
                        call: "\(receiver).\(method.name)(\(receiver), \(list))"
                    )
                }
            }
        }
}

private func wrong(_ parameters: [Parameter]) -> [String] {
    parameters.indices.flatMap { place in
        wrongTexts(parameters[place].type).map { wrong in
            parameters.indices.map { index in
                index == place ? wrong : parameters[index].name == "case" ? "{}" : text(parameters[index].type)
            }.joined(separator: ", ")
        }
    }
}

/// Opens one object of each class on the simulated bench.
let openObjects = """
    local vfio, iommufd, type1, memory, rdma, sys = require "vfio", require "iommufd", require "type1",
      require "memory", require "rdma", require "sys"
    local device = vfio.open("0000:01:00.0")
    local context, nic = iommufd.open(), rdma.open("mlx5_0")
    local pd, buf = nic:alloc_pd(), device:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 4096 } } }
    local host, cq = memory.alloc(4096), nic:create_cq(64, { events = true })
    local objects = {
      ["vfio device"] = device, ["dma-buf"] = buf, ["iommufd"] = context, ["ioas"] = context:alloc_ioas(),
      ["memory mapping"] = host, ["vfio container"] = type1.open(), ["rdma context"] = nic,
      ["protection domain"] = pd, ["memory region"] = pd:reg_mr { memory = host },
      ["dma handle"] = nic:alloc_dmah { ph = "target" }, ["file"] = sys.open("/dev/iommu"),
      ["completion queue"] = cq, ["queue pair"] = pd:create_qp { send_cq = cq },
      ["shared receive queue"] = pd:create_srq {},
      ["device memory"] = nic:alloc_dm(4096), ["memory window"] = pd:alloc_mw(),
      ["address handle"] = pd:create_ah { to = { qp_num = 1, gid = ("\\0"):rep(16) } },
    }

    """

/// Every function of every module and class: its name, and a call that its description accepts.
let calls: [(name: String, call: String)] = modules.flatMap { module in
    module.functions.map { function in
        let list = arguments(function.parameters)
        return (name: "\(module.name).\(function.name)", call: "require(\"\(module.name)\").\(function.name)(\(list))")
    }
        + module.classes.flatMap { description in
            description.methods.map { method in
                let receiver = "objects[\"\(description.name)\"]"
                let list = ([receiver] + method.parameters.map { text($0.type) }).joined(separator: ", ")
                return (name: "\(description.short):\(method.name)", call: "\(receiver).\(method.name)(\(list))")
            }
        }
}

/// What a script prints on the standard simulated bench, with all modules and no stdlib, a line each.
func linesPrinted(by text: String) throws -> [String] {
    final class Lines { var all: [String] = [] }
    let lines = Lines()
    let host = Host(kernel: SimKernel(.standard), isSimulated: true, tph: TPHResolver(.auto))
    let state = LuaState(
        context: host, find: { name throws(ErrorValue) in throw ErrorValue(kind: .script, "no module \(name)") },
        print: { lines.all.append($0) })
    state.offer(modules)
    _ = try state.run(Array(text.utf8), name: "@test.lua")
    return lines.all
}
