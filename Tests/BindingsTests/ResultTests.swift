import Bindings
import Devices
import LuaKit
import SimKernel
import TestBench
import Testing

/// What functions return is what their descriptions say.
@Suite struct ResultTests {
    /// A check of a value, as a Lua expression that is nil where it is of that type.
    private func check(_ type: ResultType) -> String {
        switch type {
        case .integer: return "scalar('integer')"
        case .number: return "scalar('float')"
        case .boolean: return "scalar('boolean')"
        case .string: return "scalar('string')"
        case .object: return "scalar('userdata')"
        case .record(let record):
            let fields = record.described.map { "['\($0.name)'] = \(check($0.type))" }
            return "record('\(record.name)', { \(fields.joined(separator: ", ")) })"
        case .list(let element): return "list(\(check(element)))"
        case .map(let element): return "map(\(check(element)))"
        case .optional(let type): return "optional(\(check(type)))"
        case .any: return "function() end"
        }
    }

    private let checks = """
        local function scalar(name)
          return function(v) local found = math.type(v) or type(v) if found ~= name then return found .. ", not " .. name end end
        end
        local function each(check, t, of)
          if type(t) ~= "table" then return type(t) .. ", not a table" end
          for k, v in pairs(t) do
            local wrong = of(k) or check(v)
            if wrong then return tostring(k) .. ": " .. wrong end
          end
        end
        local function list(check) return function(t) return each(check, t, scalar("integer")) end end
        local function map(check) return function(t) return each(check, t, scalar("string")) end end
        local function optional(check) return function(v) if v ~= nil then return check(v) end end end
        local records = {}
        local function record(name, fields)
          return function(t)
            if type(t) ~= "table" then return type(t) .. ", not a table" end
            records[name] = true
            for k in pairs(t) do if not fields[k] then return k .. " is not described" end end
            for k, check in pairs(fields) do
              local wrong = check(t[k])
              if wrong then return k .. ": " .. wrong end
            end
          end
        end

        """

    /// Calls that return tables which no generated call does: they need a result to look at.
    private let further = """
        local q = objects["queue pair"]
        local there = pd:create_qp { send_cq = cq }
        q:connect { to = there:endpoint() } there:connect { to = q:endpoint() }
        local mr = pd:reg_mr { memory = host, access = { "local_write", "remote_write" } }
        q:post_send { opcode = "rdma_write", mr = mr, remote_addr = mr:addr(), rkey = mr:rkey() }
        local plan = { qp = q, opcode = "rdma_write", mr = mr, remote_addr = mr:addr(), rkey = mr:rkey(), size = 8, count = 10 }

        """

    @Test func areOfTheTypesDescribed() throws {
        let generated = modules.flatMap { module in
            module.functions.map { ("\(module.name).\($0.name)", $0) }
                + module.classes.flatMap { one in one.methods.map { ("\(one.short):\($0.name)", $0) } }
        }
        var types: [String: [ResultType]] = [:]
        for (name, function) in generated { types[name] = function.returns }
        // What closes or waits for what does not come has no result.
        var script = openObjects + checks
        for (name, call) in calls where !(types[name] ?? []).isEmpty && !name.contains("wait") && name != "sys.sleep" {
            script += line(name, call, types[name] ?? [])
        }
        script += further
        for (name, call) in [
            ("cq:wait", "cq:wait(1)"), ("vfio.devices", "require('vfio').devices()"), ("device:info", "device:info()"),
            ("device:region_info", "device:region_info(2)"), ("device:irq_info", "device:irq_info(2)"),
            ("device:read", "device:read(2, 0, 8)"), ("dmabuf:info", "buf:info()"), ("mr:tph", "mr:tph()"),
            ("traffic.stream", "require('traffic').stream(plan)"),
            (
                "latency:summary",
                "(function() plan.latency = true local _, l = require('traffic').stream(plan) return l:summary() end)()"
            ),
            ("traffic.check", "require('traffic').check { memory = host, size = 16, seed = 9 }"),
            ("bench.tlps", "require('bench').tlps {}"), ("ioas:iova_ranges", "objects['ioas']:iova_ranges()"),
            ("context:frmr_pools", "nic:frmr_pools()"),
        ] {
            script += line(name, call, types[name] ?? [])
        }
        script += "local n = 0 for name in pairs(records) do n = n + 1 end print('records', n)"
        let lines = try linesPrinted(by: script)
        let count = lines.last.flatMap { Int($0.split(separator: "\t").last ?? "") } ?? 0
        #expect(lines.dropLast().sorted() == [])
        // Not reached here: an asynchronous event, and round trips of two roles.
        let all = Set(generated.flatMap { $0.1.returns }.compactMap { $0.record?.name })
        #expect(count >= all.count - 2, "\(count) of \(all.count)")
    }

    private func line(_ name: String, _ call: String, _ types: [ResultType]) -> String {
        let checks = types.map(check).joined(separator: ", ")
        return """
            do
              local found, checks = table.pack(pcall(function() return \(call) end)), { \(checks) }
              for i = 1, found[1] and math.max(found.n - 1, #checks) or 0 do
                local wrong = not checks[i] and "not described" or checks[i](found[i + 1])
                if wrong then print("\(name), result " .. i .. ": " .. wrong) end
              end
            end

            """
    }
}
