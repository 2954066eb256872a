import Bindings
import Devices
import LuaKit
import SimKernel
import TestBench
import Testing

/// What a description has no place for, and what does not fit, is refused before anything is done: never dropped or cut.
@Suite struct WrongArgumentTests {
    @Test func everyFunctionRefusesThem() throws {
        let calls = wrongCalls.map {
            "{ \"\($0.name)\", function() \($0.call) end, [=====[\($0.call)]=====] },"
        }
        #expect(calls.count > 500)
        // A chunk has at most so many constants and closures as fit; parts are of one size.
        for start in stride(from: 0, to: calls.count, by: 100) {
            let part = calls[start..<min(start + 100, calls.count)].joined(separator: "\n")
            let wrong = try linesPrinted(
                by:
                    openObjects + """
                        for _, call in ipairs { \(part) } do
                          local ok, err = pcall(call[2])
                          if ok or type(err) ~= "table" or err.kind ~= "argument" then
                            print(call[3] .. " -> " .. (ok and "taken" or tostring(err)))
                          end
                        end
                        """)
            #expect(wrong == [])
        }
    }

    @Test(arguments: [
        (1, "255", true), (1, "-1", true), (1, "-128", true), (1, "256", false), (1, "300", false), (1, "-129", false),
        (2, "0xffff", true), (2, "0x10000", false), (4, "0xffffffff", true), (4, "-1", true),
        (4, "0x1234567890", false),
        (4, "-0x80000001", false), (8, "0x1234567890", true), (8, "-1", true), (8, "math.mininteger", true),
    ])
    func aNumberIsStoredAsItStandsOrNotAtAll(_ size: Int, _ value: String, _ fits: Bool) throws {
        let found = try linesPrinted(
            by:
                """
                local d <close> = require "vfio".open("0000:01:00.0")
                local ok, err = pcall(d.store, d, 2, 0, \(size), \(value))
                print(ok, ok and d:load(2, 0, \(size)) == (\(value)) & (\(size) == 8 and -1 or (1 << \(size * 8)) - 1) or tostring(err))
                """)
        if fits {
            #expect(found == ["true\ttrue"])
        } else {
            #expect(found.first?.contains("'value' must fit \(size) byte") == true, "\(found)")
        }
    }

    @Test(arguments: [
        ("swap = 1", "'swap' is for atomic_cmp_and_swp; 'rdma_write' has no place for it"),
        ("compare_add = 1", "'compare_add' is for atomic_cmp_and_swp and atomic_fetch_and_add"),
        ("imm_data = 1", "'imm_data' is for rdma_write_with_imm and send_with_imm"),
        ("remote_qpn = 5", "'remote_qpn' is for datagrams; this queue pair is connected"),
        ("mw_access_flags = { 'remote_read' }", "'mw_access_flags' is for bind_mw"),
    ])
    func whatAnOperationHasNoPlaceForIsRefused(_ key: String, _ message: String) throws {
        try refused("opcode = 'rdma_write', \(key)", message)
    }

    @Test(arguments: [
        ("mw = nil", "'bind_mw' needs 'mw', the window"), ("remote_addr = 1", "'remote_addr' is for RDMA and atomics"),
        ("inline = true", "'inline' is for what sends bytes"),
        ("solicited = true", "'solicited' is for what the peer receives"),
    ])
    func whatABindingHasNoPlaceForIsRefused(_ key: String, _ message: String) throws {
        try refused("opcode = 'bind_mw', \(key == "mw = nil" ? "" : "mw = objects['memory window'], ")\(key)", message)
    }

    private func refused(_ keys: String, _ message: String) throws {
        let found = try linesPrinted(
            by:
                openObjects + """
                    local ok, err = pcall(function()
                      objects["queue pair"]:post_send { mr = objects["memory region"], \(keys) }
                    end)
                    print(ok, tostring(err))
                    """)
        #expect(found.first?.contains(message) == true, "\(found)")
    }

    /// MAP_FIXED would replace what the program has mapped at the address, MAP_GROWSDOWN grow into it.
    @Test(arguments: [0x11, 0x102]) func aScriptDoesNotChooseWhereItsMappingLies(flags: Int) throws {
        let found = try linesPrinted(
            by: """
                local sys = require "sys"
                local ok, err = pcall(sys.mmap, -1, { length = 4096, flags = \(flags) })
                print(ok, tostring(err))
                """)
        #expect(found.first?.contains("are not accepted") == true, "\(found)")
    }

    @Test func anyValueIsLogged() throws {
        let host = Host(kernel: SimKernel(.standard), isSimulated: true, tph: TPHResolver(.auto))
        let state = LuaState(
            context: host, find: { _ throws(ErrorValue) in throw ErrorValue(kind: .script, "none") }, print: { _ in })
        state.offer(modules)
        let text = """
            local case, vfio = require "case", require "vfio"
            local _, err = pcall(vfio.open, "nothing")
            case.log(case, 5) case.log(case, true) case.log(case, err) case.log(case, "text")
            """
        _ = try state.run(Array(text.utf8), name: "@test.lua")
        #expect(host.log.count == 4)
        #expect(host.log[0] == "5" && host.log[1] == "true" && host.log[3] == "text")
        #expect(host.log[2].contains("vfio.open"))
    }
}
