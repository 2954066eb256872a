import CBenchmark
import Glibc
import LuaKit

/// An object as cheap as the one that the C rival has.
struct Counter: ~Copyable, LuaObject {
    static var luaName: String { "counter" }
    var total: Int64 = 0
    var isOpen = true
    mutating func close() { isOpen = false }
}

private let number = LuaType.integer(0...(1 << 30))

private let a = key("a")
private let b = key("b")
private let c = key("c")
private let d = key("d")
private let e = key("e")
private let f = key("f")
private let g = key("g")
private let h = key("h")
private let i = key("i")
private let j = key("j")
private let k = key("k")
private let l = key("l")
private let m = key("m")
private let n = key("n")
private let o = key("o")
private let p = key("p")

private func key(_ name: String) -> Key<Int64> { Key(name, number, default: 0, "a number") }

private func few(_ request: Table) -> Int64 { request[a] + request[b] + request[c] }

private func many(_ request: Table) -> Int64 {
    var sum = request[a] + request[b] + request[c] + request[d] + request[e] + request[f] + request[g] + request[h]
    sum += request[i] + request[j] + request[k] + request[l] + request[m] + request[n] + request[o] + request[p]
    return sum
}

private let benchmark = Module(
    "benchmark", "Calls to measure.",
    functions: [
        Function(
            "add", [Parameter("a", number, .required, "a number"), Parameter("b", number, .required, "a number")],
            returns: [.integer], "Adds.",
            entry: { Call($0, $1).run { call in call.push(call[0].int64 + call[1].int64) } }),
        Function(
            "few_keys", [Parameter("request", .record([a, b, c]), .required, "numbers")], returns: [.integer],
            "Adds up.", entry: { Call($0, $1).run { call in call.push(few(call[0].table)) } }),
        Function(
            "many_keys",
            [Parameter("request", .record([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]), .required, "numbers")],
            returns: [.integer], "Adds up.", entry: { Call($0, $1).run { call in call.push(many(call[0].table)) } }),
        Function(
            "new", returns: [.object(Counter.self)], "An object.",
            entry: { Call($0, $1).run { call in call.push(object: Counter(), parent: 0, label: "") } }),
        Function("rivals", returns: [.any], "The same in C.", entry: { state, _ in cbenchmark_open(state) }),
        Function(
            "now", returns: [.integer], "Nanoseconds.",
            entry: {
                Call($0, $1).run { call in
                    var time = timespec()
                    clock_gettime(CLOCK_MONOTONIC, &time)
                    return call.push(Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
                }
            }),
    ],
    classes: [
        ObjectClass(
            Counter.luaName, type: "counter", short: "counter", "Adds up.",
            methods: [
                Function(
                    "add",
                    [Parameter("a", number, .required, "a number"), Parameter("b", number, .required, "a number")],
                    returns: [.integer], "Adds to a total.",
                    entry: {
                        Call($0, $1).run { call in
                            let counter = call[0].object(Counter.self)
                            counter.pointee.total += call[1].int64 + call[2].int64
                            return call.push(counter.pointee.total)
                        }
                    })
            ],
            close: { closeObject($0, $1, $2, Counter.self) }, destroy: { destroyObject($0, Counter.self) })
    ])

/// Rounds in turn, ours and theirs, so that a machine that slows down slows both; the median of the rounds' ratios.
private let script = """
    local b = require "benchmark"
    local rivals, calls, rounds = b.rivals(), 2000000, 15

    local function time(call)
      local start = b.now()
      call()
      return (b.now() - start) / calls
    end

    local function compare(name, ours, theirs)
      ours() theirs()
      local ratios, a, c = {}, {}, {}
      for i = 1, rounds do
        a[i], c[i] = time(ours), time(theirs)
        ratios[i] = a[i] / c[i]
      end
      table.sort(ratios) table.sort(a) table.sort(c)
      local middle = (rounds + 1) // 2
      print(("%-22s %6.1f ns  in C %6.1f ns  ratio %.2f (%.2f to %.2f)"):format(
        name, a[middle], c[middle], ratios[middle], ratios[1], ratios[rounds]))
    end

    local add, rival = b.add, rivals.add
    compare("function, 2 integers", function() for i = 1, calls do add(i, 7) end end,
      function() for i = 1, calls do rival(i, 7) end end)
    local few, rival_few, many, rival_many = b.few_keys, rivals.few_keys, b.many_keys, rivals.many_keys
    compare("table, 3 keys", function() for i = 1, calls do few { a = i, b = 7, c = 5 } end end,
      function() for i = 1, calls do rival_few { a = i, b = 7, c = 5 } end end)
    compare("table, 5 of 16 keys", function() for i = 1, calls do many { a = i, b = 7, e = 5, k = 1, p = 2 } end end,
      function() for i = 1, calls do rival_many { a = i, b = 7, e = 5, k = 1, p = 2 } end end)
    local mine, other = b.new(), rivals.new()
    compare("method, 2 integers", function() for i = 1, calls do mine:add(i, 7) end end,
      function() for i = 1, calls do other:add(i, 7) end end)
    """

final class NoContext {}

@main
struct Benchmark {
    static func main() {
        if CommandLine.arguments.dropFirst().first == "processes" {
            return Processes.compare(Array(CommandLine.arguments.dropFirst(2)))
        }
        if CommandLine.arguments.dropFirst().first == "scale" { return Scale.compare() }
        if CommandLine.arguments.count == 4, CommandLine.arguments[1] == "registration" {
            let elapsed = cbenchmark_registration(CommandLine.arguments[2], Int32(CommandLine.arguments[3]) ?? 1)
            print(elapsed)
            exit(elapsed < 0 ? 1 : 0)
        }
        let state = LuaState(
            context: NoContext(),
            find: { name throws(ErrorValue) in throw ErrorValue(kind: .script, "no module \(name)") },
            print: { print($0) })
        state.offer([benchmark])
        do {
            _ = try state.run(Array(script.utf8), name: "@benchmark.lua")
        } catch {
            print(error.line)
            exit(1)
        }
    }
}
