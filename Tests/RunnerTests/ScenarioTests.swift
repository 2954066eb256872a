import Bindings
import Devices
import Glibc
import Kernel
import LuaKit
import Runner
import SimKernel
import TestBench
import Testing

@Suite struct ScenarioTests {
    @Test func casesRunInTheOrderOfTheFile() throws {
        let outcome = try Outcome(
            """
            return { cases = {
              ["z first"] = function() end,
              ["a second"] = function() end,
              ["m third"] = function() end,
            } }
            """)
        #expect(outcome.result?.cases.map(\.name) == ["z first", "a second", "m third"])
        #expect(outcome.result?.verdict == .pass)
    }

    @Test func aListOfCasesRunsInItsOrder() throws {
        let outcome = try Outcome(
            """
            local cases = {}
            for _, size in ipairs { 64, 128, 1024, 8 } do
              cases[#cases + 1] = { "size " .. size, function(t) t:log(size) end }
            end
            return { cases = cases }
            """)
        #expect(outcome.result?.cases.map(\.name) == ["size 64", "size 128", "size 1024", "size 8"])
        #expect(outcome.result?.cases.map(\.log) == [["64"], ["128"], ["1024"], ["8"]])
    }

    @Test(arguments: [
        (
            "local function f(n) return function() end end return { cases = { b = f(1), a = f(2) } }",
            "the order of the cases \"a\" and \"b\" is not known: a table of names has none, and their functions are defined "
                + "on one line. Make 'cases' a list: cases = { { \"a\", function(t, opt) ... end }, ... }"
        ),
        (
            "return { cases = { { \"a\" } } }",
            "cases[1] must be { \"what is shown\", function(t, opt) ... end }, not { a string }"
        ),
        ("return { cases = { function() end } }", "cases[1] must be"),
        ("return { cases = { { \"a\", print }, { \"a\", print } } }", "cases[2]: there is a case \"a\" already"),
        ("return { cases = { { \"a\", print }, b = print } }", "both a list and has names"),
        ("return { cases = { { \"a\", print } }, needs = { \"vfio\", x = 1 } }", "both a list and has names"),
        ("return { cases = {} }", "'cases' must be a list"),
    ])
    func casesWithoutACertainOrderAreRefused(_ text: String, _ message: String) throws {
        let outcome = try Outcome(text)
        #expect(outcome.error?.message.contains(message) == true, "\(outcome.error?.message ?? "none")")
    }

    @Test func aFailedCheckComesBeforeWhatItsCloseIsRefused() throws {
        let outcome = try Outcome(
            """
            local vfio, iommufd, expect = require "vfio", require "iommufd", require "expect"
            return { cases = { { "one", function(t)
              local context <close> = iommufd.open()
              local engine <close> = vfio.open("0000:02:00.0", { iommufd = context })
              local ioas <close> = context:alloc_ioas()
              engine:attach(ioas)
              expect.equal(1, 2, "sum")
            end } } }
            """)
        let result = try #require(outcome.result), one = try #require(result.cases.first)
        #expect(one.message?.hasSuffix("sum: expected 2, found 1") == true)
        #expect(one.error?.kind == .expectation)
        #expect(one.further?.map(\.when) == ["while closing"])
        #expect(one.further?.first?.error?.name == "EBUSY")
        #expect(one.further?.first?.error?.operation == "IOMMU_DESTROY")
        let place = try #require(outcome.lines.firstIndex { $0.contains("expected 2, found 1") })
        #expect(outcome.lines[place + 1].hasPrefix("        and while closing: IOMMU_DESTROY: EBUSY"))
        let json = String(decoding: try Report.json([result], version: "1"), as: UTF8.self)
        #expect(json.contains(#""when" : "while closing""#))
    }

    @Test func aCloseOrFinalizerThatFailsAloneFailsTheCase() throws {
        let outcome = try Outcome(
            """
            return { cases = {
              { "close", function() local x <close> = setmetatable({}, { __close = function() error("from close", 0) end }) end },
              { "finalizer", function() setmetatable({}, { __gc = function() error("from gc", 0) end }) collectgarbage() end },
              { "skipped", function(t)
                local x <close> = setmetatable({}, { __close = function() error("from close", 0) end })
                t:skip("not here")
              end },
              { "good", function() end },
            } }
            """)
        let cases = try #require(outcome.result?.cases)
        #expect(cases.map(\.verdict) == [.fail, .fail, .fail, .pass])
        #expect(cases.map(\.message) == ["from close", "in a finalizer (__gc): from gc", "from close", nil])
        #expect(cases.allSatisfy { $0.further == nil })
    }

    @Test func aFinalizerThatFailsAtTheEndFailsTheRun() throws {
        let outcome = try Outcome(
            """
            local kept = setmetatable({}, { __gc = function() error("at the end", 0) end })
            return { cases = { { "good", function() return kept end } } }
            """)
        #expect(outcome.result?.cases.map(\.verdict) == [.pass, .fail])
        #expect(outcome.result?.verdict == .fail)
        #expect(outcome.result?.collecting == ["in a finalizer (__gc): at the end"])
    }

    @Test func optionsAreShownAsTheyWereWritten() throws {
        let outcome = try Outcome(
            """
            return { options = {
              length = { type = "size", default = "64K" }, st = { type = "integer", default = 1 },
              other = { type = "size", default = 4096 },
            }, cases = { { "one", function(t, opt) t:log(opt.length + opt.st) end } } }
            """, [("st", "0x1234")])
        #expect(outcome.result?.options == ["length": "64K", "st": "0x1234", "other": "4096"])
        #expect(outcome.result?.option_values == ["length": "65536", "st": "4660"])
        #expect(outcome.result?.cases.first?.log == ["70196"])
    }

    @Test(arguments: [nil, "64"] as [String?])
    func aRunOfOneCombinationSaysSo(_ size: String?) throws {
        let isTold = size == nil
        let outcome = try Outcome(
            """
            return { options = { size = { type = "size", default = 64 } }, matrix = { size = { "64", "4K" } },
              cases = { { "one", function() end } } }
            """, size.map { [("size", $0)] } ?? [])
        let warning = outcome.result?.warnings.first
        #expect(
            (warning?.hasPrefix("the matrix has 2 combinations of size; this run takes the option's default") == true)
                == isTold)
        #expect(outcome.lines.contains { $0.contains("peerlab batch") } == isTold)
    }

    @Test func aForeignFileNeedsTrust() throws {
        let script = TemporaryScript("return { cases = { fine = function() end } }")
        let bench = Bench(
            kind: "host", description: "test", isSimulated: false, tph: .off, makeKernel: { SimKernel(.standard) })
        for isTrusted in [false, true] {
            var grants = Grants()
            grants.trusts = isTrusted
            var context = RunContext(bench, Library(stdlib: []))
            context.permissions = { [grants] in Permissions(grants) }
            context.isForeign = true
            let run = try ScenarioRun(script.path, in: context)
            if isTrusted {
                #expect(try run.run().verdict == .pass)
            } else {
                let error = #expect(throws: ErrorValue.self) { try run.run() }
                #expect(error?.kind == .permission)
            }
        }
    }

    @Test func resultsCarryWhatAReproducerClaims() throws {
        let outcome = try Outcome(
            """
            return {
              concerns = "v2 to v11", expected = "EINVAL", seen = "0", cases = { ["one"] = function() end },
            }
            """)
        let result = try #require(outcome.result)
        let json = String(decoding: try Report.json([result], version: "1"), as: UTF8.self)
        for line in [#""concerns" : "v2 to v11","#, #""expected" : "EINVAL","#, #""seen" : "0","#] {
            #expect(json.contains(line))
        }
        #expect(try Outcome("return { seen = {}, cases = { one = function() end } }").result?.verdict != .pass)
    }

    @Test func aFailedCaseDoesNotStopTheNext() throws {
        let outcome = try Outcome(
            """
            local expect, vfio = require "expect", require "vfio"
            return { cases = {
              one = function() local d = vfio.open("0000:01:00.0") expect.equal(1, 2, "sum") end,
              two = function() local d = vfio.open("0000:01:00.0", { via = "group" }) end,
              three = function(t) t:log("hello") t:skip("not here") end,
            } }
            """)
        let result = try #require(outcome.result)
        #expect(result.cases.map(\.verdict) == [.fail, .pass, .skip])
        #expect(result.cases[0].message?.hasSuffix("script.lua:3: sum: expected 2, found 1") == true)
        #expect(result.cases[0].error?.kind == .expectation)
        #expect(result.cases[2].log == ["hello"])
        #expect(result.verdict == .fail)
        #expect(result.left_open == [])
    }

    @Test func whatAScriptTookByARawCallAndLeftIsAFailure() throws {
        let outcome = try Outcome(
            """
            local vfio, sys = require "vfio", require "sys"
            local d <close> = vfio.open("0000:01:00.0")
            local request = string.pack("<I4I4I4I4I4I4I8I8", 40, 0x1000b, 2, 0, 0, 1, 0, 4096)
            local r = sys.ioctl(d:fd(), "VFIO_DEVICE_FEATURE", request)
            assert(r.result >= 0, r.name)
            """)
        let result = try #require(outcome.result)
        #expect(result.cases.map(\.verdict) == [.pass])
        #expect(result.left_open.count == 1)
        #expect(result.verdict == .fail)
    }

    @Test(arguments: [
        ("return 5", "this one returns: integer"),
        ("return {}", "'cases' must be a list"),
        ("return { cases = { a = 5 } }", "cases[\"a\"] must be a function, not a integer"),
        (
            "return { cases = { a = print }, option = {} }",
            "unknown key 'option' in the scenario; did you mean 'options'?"
        ),
        ("return { cases = { a = print }, needs = { 'rdma.reg' } }", "unknown need 'rdma.reg'"),
        ("return { cases = { a = print }, options = { x = { type = 'int' } } }", "type 'int' is unknown"),
        ("return { cases = { a = print }, options = { x = { type = 'integer', mni = 2 } } }", "did you mean 'min'?"),
        ("return { cases = { a = print }, options = { x = { type = 'integer', max = 2, default = 3 } } }", "default"),
        (
            "return { cases = { a = print }, options = { x = { type = 'pci', memory = -1 } } }",
            "options.x.memory must be 0 or more, not -1"
        ),
        ("return { cases = { a = print, [5] = print } }", "a key that is no name"),
        ("return { cases = { a = print, ['\\xff'] = print } }", "a name that is not UTF-8"),
        ("return { cases = { ['\\u{e9}'] = print, ['e\\u{301}'] = print } }", "the same name twice"),
        (
            "local t = {} for i = 1, 200 do t[i] = t end return { cases = { a = print }, needs = t }",
            "table that is too large"
        ),
        (
            "local t = { 'vfio' } for i = 0, 40 do t[1 << i] = 5 end return { cases = { a = print }, needs = t }",
            "both a list and has names"
        ),
        ("local x = = 2", "unexpected symbol near '='"),
        ("\u{1B}LuaS", "binary chunk"),
    ])
    func aFileThatIsNoScenarioIsRefused(_ text: String, _ expected: String) throws {
        let outcome = try Outcome(text)
        #expect(outcome.result == nil)
        #expect(outcome.error?.line.contains(expected) == true, "\(outcome.error?.line ?? "no error")")
        #expect(outcome.kernel.open == [])
    }

    @Test(arguments: [
        ("n", "4", "must be 1 to 3"), ("n", "x", "must be integer 1..3"), ("m", "1", "unknown option 'm'"),
        ("size", "64Q", "must be size"), ("flag", "yes", "must be true or false"),
        ("color", "rde", "did you mean 'red'?"), ("device", "zz", "must be auto or a PCI address"),
        ("device", "0000:77:00.0", "no such PCI function"),
    ])
    func aWrongOptionFailsBeforeAnythingIsOpened(_ name: String, _ value: String, _ expected: String) throws {
        let outcome = try Outcome(
            """
            return { options = {
              n = { type = "integer", min = 1, max = 3, default = 2 }, size = { type = "size", default = "4K" },
              flag = { type = "boolean", default = true }, color = { type = "enum", values = { "red" }, default = "red" },
              device = { type = "pci", default = "auto" },
            }, cases = { a = function() error("it ran") end } }
            """, [(name, value)])
        #expect(outcome.error?.kind == .usage)
        #expect(outcome.error?.message.contains(expected) == true, "\(outcome.error?.message ?? "no error")")
        #expect(outcome.kernel.open == [])
    }

    @Test func optionsReachTheCases() throws {
        let outcome = try Outcome(
            """
            local expect = require "expect"
            return { options = {
              size = { type = "size", default = "4K" }, st = { type = "integer", default = 1 },
              exporter = { type = "pci", default = "auto", memory = "64K" },
              engine = { type = "pci", default = "auto", id = "1234:11e8" }, nic = { type = "rdma", default = "auto" },
            }, cases = { a = function(t, opt)
              expect.equal(opt.size, 4096) expect.equal(opt.st, 0x42) expect.equal(opt.exporter, "0000:01:00.0")
              expect.equal(opt.engine, "0000:02:00.0") expect.equal(opt.nic, "mlx5_0")
            end } }
            """, [("st", "0x42")])
        #expect(outcome.result?.verdict == .pass, "\(outcome.lines)")
    }

    @Test func aPlainScriptIsOneCaseAndTakesNoOptions() throws {
        let script = "local d <close> = require 'vfio'.open('0000:01:00.0')"
        #expect(try Outcome(script).result?.cases.map(\.verdict) == [.pass])
        let refused = try Outcome(script, [("x", "1")])
        #expect(refused.error?.message == "unknown option 'x': this script declares no options")
        #expect(refused.kernel.open == [])
        #expect(try Outcome("error 'no'").result?.cases.map(\.verdict) == [.fail])
    }

    @Test func whatABenchLacksIsASkipWithItsReason() throws {
        var topology = Topology.standard
        topology.tph = nil
        topology.nics = []
        let outcome = try Outcome(
            """
            return { options = { exporter = { type = "pci", default = "auto" } },
              needs = { "vfio.dma_buf", "vfio.dma_buf_tph", "rdma" }, cases = { a = function() error("it ran") end } }
            """, topology: topology)
        let result = try #require(outcome.result)
        #expect(result.verdict == .skip)
        #expect(result.skipped.count == 2)
        #expect(result.skipped[0].contains("no DMA_BUF_TPH"))
        #expect(result.skipped[1].contains("ENOSYS"))
    }

    @Test func aDeviceThatCannotBeOpenedIsAFailureNotASkip() throws {
        var topology = Topology.standard
        topology.devices.append(
            Topology.Device(
                address: "0000:01:00.1", vendor: 0x1af4, device: 0x1000, classCode: 0, driver: "virtio-pci", group: 10))
        let outcome = try Outcome(
            """
            return { options = { exporter = { type = "pci", default = "auto", memory = "64K" } },
              needs = { "vfio.dma_buf" }, cases = { a = function() end } }
            """, topology: topology)
        let result = try #require(outcome.result)
        #expect(result.verdict == .fail)
        #expect(result.cases[0].message?.contains("also holds 0000:01:00.1 (driver virtio-pci)") == true)
    }
}
