import Bindings
import Devices
import Glibc
import Kernel
import LuaKit
import SimKernel
import TestBench
import Testing

@testable import Runner

/// A case after which the kernel has complained did not pass. Log and flags are files here.
@Suite struct KernelWatchTests {
    private final class Told { var events: [RunEvent] = [], lines: [String] = [] }

    /// What became of each case, where the kernel logged these lines and set these flags as the case began, or had before.
    private func run(
        _ cases: String, before: String = "", says: [String: String] = [:], taints: [String: String] = [:],
        isReadable: Bool = true
    ) throws -> (result: ScenarioResult, lines: [String]) {
        let script = TemporaryScript("return { cases = {\n\(cases)\n} }")
        let log = TemporaryScript(before), flags = TemporaryScript("0\n")
        defer { withExtendedLifetime([script, log, flags]) {} }
        let bench = Bench(
            kind: "host", description: "test", isSimulated: false, tph: .off, makeKernel: { SimKernel(.standard) })
        let told = Told()
        var context = RunContext(bench, Library(stdlib: []))
        context.kernelLog = KernelLog(log: isReadable ? log.path : "/nowhere", taint: flags.path)
        context.sinks.notes = { note in
            guard case .begins(let name) = note else { return }
            for line in (says[name] ?? "").split(separator: "\n") { Self.append("4,1,2,-;\(line)\n", to: log.path) }
            if let bits = taints[name] { Self.append(bits + "\n", to: flags.path, isNew: true) }
        }
        context.sinks.report = { told.lines.append($0) }
        return (try ScenarioRun(script.path, in: context).run(), told.lines)
    }

    private static func append(_ text: String, to path: String, isNew: Bool = false) {
        guard let file = fopen(path, isNew ? "w" : "a") else { return }
        fputs(text, file)
        fclose(file)
    }

    private static let warning = """
        ------------[ cut here ]------------
        refcount_t: underflow; use-after-free.
        WARNING: CPU: 0 PID: 77 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110
        ---[ end trace 0000000000000000 ]---
        vfio-pci 0000:01:00.0: reset done
        """

    @Test func aWarningFailsItsCaseAndNoOther() throws {
        let (result, lines) = try run(
            "one = function() end,\ntwo = function(t) t:log 'ran' end,\nthree = function() end,",
            before: "4,1,1,-;WARNING: of somebody else's\n", says: ["two": Self.warning], taints: ["two": "512"])
        #expect(result.verdict == .fail)
        #expect(result.cases.map(\.verdict) == [.pass, .fail, .pass])
        #expect(result.cases[1].message == "the kernel complained: refcount_t: underflow; use-after-free.")
        #expect(result.cases[1].error?.kind == .kernelLog)
        #expect(result.cases[1].kernel?.lines.count == 4)
        #expect(result.cases[1].kernel?.taint == "W (it warned)")
        #expect(lines.contains("        kernel: refcount_t: underflow; use-after-free."))
    }

    @Test func whatACaseDeclaresIsAsItShouldBe() throws {
        let (result, _) = try run(
            "one = function(t) t:expect_kernel_log 'WARNING: .* at lib/refcount' end,", says: ["one": Self.warning],
            taints: ["one": "512"])
        #expect(result.cases.map(\.verdict) == [.pass])
        #expect(result.cases[0].kernel?.lines == [])
    }

    @Test func eachComplaintIsDeclaredForItself() throws {
        let both = Self.warning + "\nBUG: KASAN: slab-out-of-bounds in f+0x1/0x2"
        let (result, _) = try run(
            "one = function(t) t:expect_kernel_log 'refcount_t' end,", says: ["one": both])
        #expect(result.cases[0].message == "the kernel complained: BUG: KASAN: slab-out-of-bounds in f+0x1/0x2")
    }

    @Test func whatIsDeclaredHasToCome() throws {
        let (result, _) = try run(
            "one = function(t) t:expect_kernel_log 'underflow' end,\ntwo = function() end,", says: ["two": Self.warning]
        )
        #expect(result.cases.map(\.verdict) == [.fail, .fail])
        #expect(result.cases[0].kernel?.unseen == ["underflow"])
        #expect(result.cases[0].message?.contains("did not log what the case declared") == true)
    }

    /// The kernel limits how often it reports a fault.
    @Test func whatMayBeLeftOutIsNoFailure() throws {
        let cases =
            "one = function(t) t:expect_kernel_log('^DMAR', true) end,\n"
            + "two = function(t) t:expect_kernel_log('^DMAR', true) end,"
        let (result, _) = try run(cases, says: ["one": "DMAR: DRHD: handling fault status reg 2"])
        #expect(result.cases.map(\.verdict) == [.pass, .pass])
        #expect(result.cases.allSatisfy { $0.kernel == nil })
    }

    /// A pattern may be about any line, a complaint or none.
    @Test func aLineThatIsNoComplaintCanBeDeclared() throws {
        let (result, _) = try run(
            "one = function(t) t:expect_kernel_log 'resetting$' end,", says: ["one": "vfio-pci 0000:01:00.0: resetting"]
        )
        #expect(result.cases.map(\.verdict) == [.pass])
    }

    @Test func aFlagAloneFails() throws {
        let cases = "one = function() end,\ntwo = function(t) t:expect_kernel_log 'tainted: O' end,"
        let (result, _) = try run(cases, taints: ["one": "4", "two": "4100"])
        #expect(result.cases.map(\.verdict) == [.fail, .pass])
        #expect(result.cases[0].message == "the kernel is tainted since: S (a processor out of specification)")
    }

    @Test func theFirstFailureIsTold() throws {
        let (result, _) = try run("one = function() error 'of its own' end,", says: ["one": Self.warning])
        #expect(result.cases[0].message?.contains("of its own") == true)
        #expect(result.cases[0].kernel?.lines.count == 4)
    }

    @Test func aSkipDoesNotHideIt() throws {
        let (result, _) = try run("one = function(t) t:skip 'not here' end,", says: ["one": Self.warning])
        #expect(result.cases[0].verdict == .fail)
    }

    @Test func aLogThatCannotBeReadIsSaidOnceAndClaimsNothing() throws {
        let (result, lines) = try run(
            "one = function(t) t:expect_kernel_log 'x' end,\ntwo = function() end,", taints: ["two": "512"],
            isReadable: false)
        #expect(result.warnings.count == 1)
        #expect(lines.filter { $0.contains("WARNING: the kernel's log cannot be read (/nowhere: ") }.count == 1)
        #expect(result.cases.map(\.verdict) == [.pass, .fail])
        #expect(result.cases[0].kernel?.unchecked?.contains("ENOENT") == true)
        #expect(lines.contains { $0.hasPrefix("        not checked: the kernel's log for 'x': ") })
    }

    @Test func aSimulatedBenchSaysThatItDidNotLook() throws {
        let outcome = try Outcome("return { cases = { one = function(t) t:expect_kernel_log 'x' end } }")
        let one = try #require(outcome.result?.cases.first)
        #expect(one.verdict == .pass)
        #expect(one.kernel?.unchecked == "the simulated bench has no kernel that logs")
        #expect(
            outcome.lines.contains(
                "        not checked: the kernel's log for 'x': the simulated bench has no kernel that logs"))
    }
}
