import Commands
import LuaKit
import Results
import Testing

@testable import Runner
@testable import peerlab

/// What the runs of `ab` whose guests die come to.
@Suite struct ABTests {
    private func result(_ kinds: ErrorKind?...) -> ScenarioResult {
        var result = ScenarioResult(
            file: "a.lua", name: "a", verdict: .fail, bench: "lab", bench_description: "", simulated: false)
        result.cases = kinds.map { kind in
            var one = CaseResult(name: "one", verdict: kind == nil ? .pass : .fail, duration_ns: 1)
            one.error = kind.map { ErrorFields(ErrorValue(kind: $0, "")) }
            return one
        }
        return result
    }

    @Test func whatDiedIsToldByTheKindOfItsError() {
        #expect(ABCommand.death(result(nil, .kernelDied)) == .kernelDied)
        #expect(ABCommand.death(result(.guestHung)) == .guestHung)
        #expect(ABCommand.death(result(.emulator)) == .emulator)
        #expect(ABCommand.death(result(nil, .expectation)) == nil && ABCommand.death(nil) == nil)
    }

    @Test(arguments: [
        ([0, 0], Commands.ExitStatus.pass), ([0, 1], .fail), ([1, 0], .usage), ([2, 2], .usage),
    ])
    func whoseGuestsDieIsWorse(_ deaths: [Int], _ status: Commands.ExitStatus) {
        #expect(ABCommand.status([], isLess: false, deaths: deaths) == status)
    }

    @Test func whatIsNotMeasuredAnyMoreIsWorse() {
        #expect(ABCommand.status([], isLess: true, deaths: [1, 1]) == .fail)
    }
}
