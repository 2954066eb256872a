import Bindings
import LuaKit
import SeededRandom

/// Scenarios that call by chance what peerlab offers scripts, made from its description: mostly with arguments that pass its
/// checks and objects that other calls returned, sometimes with any others, closed objects among them.
struct RandomCalls {
    private var random: Random
    /// How many of a hundred arguments are not what the description asks for.
    private var wrong = 0

    /// A way to call a function: its text up to the arguments, what is described, the receiver's class, the class of what it
    /// returns.
    private struct Callee {
        let name: String
        let parameters: ArraySlice<Parameter>
        let receiver: String?
        let result: String?
    }

    private static let callees: [Callee] = {
        func result(_ function: Function) -> String? {
            function.returns.lazy.compactMap { type in
                switch type {
                case .object(let name), .optional(.object(let name)): name
                default: nil
                }
            }.first
        }
        return modules.flatMap { module in
            module.functions.map { function in
                let ofCase = function.parameters.first?.name == "case"
                return Callee(
                    name: ofCase ? "t.\(function.name)" : "require('\(module.name)').\(function.name)",
                    parameters: function.parameters.dropFirst(ofCase ? 1 : 0), receiver: ofCase ? "t" : nil,
                    result: result(function))
            }
                + module.classes.flatMap { description in
                    description.methods.map { method in
                        Callee(
                            name: method.name, parameters: method.parameters[...], receiver: description.name,
                            result: result(method))
                    }
                }
        }
    }()

    init(_ random: Random) { self.random = random }

    /// The text of a scenario, with two roles or none.
    mutating func script() -> String {
        var lines = [
            "local o = setmetatable({}, { __index = function(t, k) t[k] = {} return t[k] end })",
            "local function a(class, n) local l = o[class] return l[(n - 1) % math.max(1, #l) + 1] end",
            "local function keep(class, ok, ...)",
            "  for _, r in ipairs { ... } do if ok and type(r) == 'userdata' then table.insert(o[class], r) end end",
            "end",
            "local function c(class, f) keep(class, pcall(f)) end", "return {",
        ]
        if random.once(in: 4) { lines.append("  roles = { 'a', 'b' },") }
        lines.append("  cases = {")
        for number in 0...random.below(2) { lines += ["    ['\(number)'] = function(t)"] + body() + ["    end,"] }
        return (lines + ["  },", "}", ""]).joined(separator: "\n")
    }

    private mutating func body() -> [String] {
        // What makes objects first, those that need others later.
        let makers = RandomCalls.callees.filter { $0.result != nil }
        wrong = 0
        var lines = (0..<3).flatMap { _ in makers.map { call($0) } }
        wrong = random.one(of: [0, 3, 20])
        lines += (0..<(10 + random.below(60))).map { _ in statement() }
        return lines
    }

    private mutating func statement() -> String {
        switch random.below(20) {
        case 0: return "      pcall(function() \(object()):close() end)"
        case 1: return "      \(object("o")) = nil"
        case 2: return "      collectgarbage()"
        case 3: return "      coroutine.wrap(function() \(anyCall()) coroutine.yield() end)()"
        case 4: return "      pcall(function() local x <close> = \(object()) \(anyCall()) end)"
        default: return anyCall()
        }
    }

    private mutating func anyCall() -> String { call(random.one(of: RandomCalls.callees)) }

    private mutating func call(_ callee: Callee) -> String {
        var arguments = callee.parameters.map { argument($0) }
        // Those at the end may be left out.
        while let last = callee.parameters.dropLast(callee.parameters.count - arguments.count).last, !isRequired(last),
            random.once(in: 3)
        {
            arguments.removeLast()
        }
        let result = "'\(callee.result ?? "other")'"
        let list = arguments.joined(separator: ", ")
        switch callee.receiver {
        case nil: return "      c(\(result), function() return \(callee.name)(\(list)) end)"
        case "t":
            let all = (["t"] + arguments).joined(separator: ", ")
            return "      c(\(result), function() return \(callee.name)(\(all)) end)"
        case let receiver?:
            return "      c(\(result), function() return \(object(of: receiver)):\(callee.name)(\(list)) end)"
        }
    }

    // MARK: Values

    private func isRequired(_ parameter: Parameter) -> Bool {
        if case .required = parameter.fallback { true } else { false }
    }

    private mutating func argument(_ parameter: Parameter) -> String {
        guard random.below(100) >= wrong else { return anything() }
        if let words = RandomCalls.names[parameter.name], !random.once(in: 8) { return random.one(of: words) }
        return isRequired(parameter) || random.once(in: 2) ? value(parameter.type) : "nil"
    }

    private mutating func object(_ table: String? = nil) -> String {
        let name = random.one(of: modules.flatMap(\.classes)).name
        return table.map { "\($0)['\(name)']" } ?? object(of: name)
    }

    private mutating func object(of name: String) -> String { "a('\(name)', \(1 + random.below(6)))" }

    private mutating func anything() -> String {
        switch random.below(4) {
        case 0: return object()
        case 1: return "\(random.one(of: [Int64.min, -1, 0, 1, 1 << 31, 1 << 32, Int64.max]))"
        default:
            return random.one(of: [
                "nil", "{}", "{ {} }", "t", "print", "true", "''", "'x'", "('x'):rep(5000)", "'\\0\\xff'", "-0.5",
                "0/0",
                "math.huge", "coroutine.create(print)", "setmetatable({}, { __index = error })", "o", "'64K'",
            ])
        }
    }

    /// What parameters of some names want.
    private static let names = [
        "address": ["'0000:01:00.0'"], "name": ["'mlx5_0'"], "gid": ["('\\0'):rep(16)"], "error": ["'EIO'"],
        "path": ["'/dev/iommu'", "'/dev/vfio/vfio'", "'/dev/vfio/10'", "'/sys/bus/pci/devices/0000:01:00.0/config'"],
        "operation": ["'ibv_reg_mr'", "'VFIO_DEVICE_GET_INFO'"], "requester": ["'mlx5_0'", "'0000:03:00.0'"],
        "target": ["'0000:01:00.0'", "'0000:03:00.0'"],
        "remote_addr": ["a('memory region', 1):addr()", "a('memory region', 2):addr()"],
        // Waiting for what never comes costs as many steps as milliseconds.
        "timeout": ["0", "1", "3"], "patience": ["1", "3"], "duration": ["1", "2"],
        "rkey": ["a('memory region', 1):rkey()", "a('memory region', 2):rkey()"],
    ]

    private static let words = [
        "'0000:01:00.0'", "'mlx5_0'", "'/sys/bus/pci/devices'", "'../../etc/passwd'", "''", "('x'):rep(64)",
        "'IOMMU_IOAS_MAP'", "'b'", "('\\0\\xff'):rep(2048)",
    ]

    private mutating func integer(_ range: ClosedRange<Int64>) -> String {
        // Small ones; all of them where they are few; the ends more seldom, as much of them takes long.
        let number =
            switch random.below(24) {
            case 0: range.lowerBound
            case 1: range.upperBound
            case 2..<8: Int64(1) << random.below(13)
            default: Int64(random.below(9))
            }
        // Lua reads the least integer as a float.
        let clamped = min(max(number, range.lowerBound), range.upperBound)
        return clamped == .min ? "math.mininteger" : "\(clamped)"
    }

    private mutating func value(_ type: LuaType) -> String {
        switch type {
        case .integer(let range): return integer(range)
        case .time(let range):
            return random.once(in: 2) ? integer(range) : random.one(of: ["'1ms'", "'0.5s'", "'9h'", "'s'"])
        case .size(let range):
            let pages = "\(min(max(Int64(4096) << random.below(6), range.lowerBound), range.upperBound))"
            return random.once(in: 4) ? integer(range) : pages
        case .number: return random.one(of: ["0", "1.5", "-1e300", "0/0", "1e9"])
        case .boolean: return random.one(of: ["true", "false"])
        case .string: return random.one(of: RandomCalls.words)
        case .choice(let names): return "'\(random.one(of: names).name)'"
        case .flags(let names):
            let some = (0..<random.below(4)).map { _ in "'\(random.one(of: names).name)'" }
            return "{ \(some.joined(separator: ", ")) }"
        case .object(let name): return object(of: name)
        case .record(let fields) where fields.first?.name == "qp_num" && !random.once(in: 4):
            // A peer that is there.
            return "\(object(of: "queue pair")):endpoint()"
        case .record(let fields):
            let some = fields.map { "\($0.name) = \(argument($0.parameter))" }
            return "{ \(some.joined(separator: ", ")) }"
        case .list(let element, _):
            return "{ \((0..<random.below(4)).map { _ in value(element) }.joined(separator: ", ")) }"
        case .any: return anything()
        }
    }
}
