import Glibc
import Testing

@testable import LabBench

/// When a guest is ended by force.
@Suite struct GuestWatchTests {
    private let begin = ContinuousClock.now

    private func watch(_ limit: Duration = .seconds(100)) -> GuestWatch {
        GuestWatch(bootTimeout: .seconds(60), timeLimit: limit, begin: begin)
    }

    private func after(_ seconds: Int) -> ContinuousClock.Instant { begin.advanced(by: .seconds(seconds)) }

    @Test func aGuestHasItsTimeToBootAndThenItsCommands() {
        var watch = watch()
        #expect(watch.stop(interrupts: 0, at: after(60)) == nil)
        #expect(watch.stop(interrupts: 0, at: after(61)) == .bootTimeout)
        watch.start(at: after(50))
        #expect(watch.stop(interrupts: 0, at: after(150)) == nil)
        #expect(watch.stop(interrupts: 0, at: after(151)) == .timeLimit)
    }

    @Test func anInterruptIsPassedOnOnceAndHasItsGrace() {
        var watch = watch()
        var passedOn = [watch.passesOn(interrupts: 1, at: after(1))]
        #expect(watch.stop(interrupts: 1, at: after(1)) == .interrupted)
        watch.start(at: after(2))
        for second in 3...4 { passedOn.append(watch.passesOn(interrupts: 1, at: after(second))) }
        #expect(passedOn == [false, true, false])
        #expect(watch.stop(interrupts: 1, at: after(13)) == nil)
        #expect(watch.stop(interrupts: 1, at: after(14)) == .interrupted)
        #expect(watch.stop(interrupts: 2, at: after(4)) == .interrupted)
    }

    /// Statuses of the devices' process as wait(2) gives them: without clients it ends with 0, and this program kills it.
    @Test func aCrashOfTheDevicesIsKnownByItsStatus() {
        #expect(GuestRun.crash(nil) == nil && GuestRun.crash(0) == nil && GuestRun.crash(SIGKILL) == nil)
        #expect(GuestRun.crash(SIGTRAP) == "signal 5" && GuestRun.crash(SIGABRT | 0x80) == "signal 6")
        #expect(GuestRun.crash(1 << 8) == "exit code 1")
    }

    /// Looks ten times a second, as `GuestRun` does.
    private func look(_ watch: inout GuestWatch, _ seconds: ClosedRange<Int>) {
        for tenth in (seconds.lowerBound * 10)...(seconds.upperBound * 10) {
            watch.look(at: begin.advanced(by: .milliseconds(tenth * 100)))
        }
    }

    @Test func aGuestThatSaysNothingIsEndedWithinThirtySeconds() {
        var watch = watch(.seconds(1000))
        look(&watch, 0...50)
        #expect(watch.stop(interrupts: 0, at: after(50)) == nil, "it boots, and has nothing to say yet")
        watch.start(at: after(50))
        look(&watch, 50...79)
        #expect(watch.stop(interrupts: 0, at: after(79)) == nil)
        watch.hear()
        look(&watch, 79...108)
        #expect(watch.stop(interrupts: 0, at: after(108)) == nil)
        look(&watch, 108...110)
        #expect(watch.stop(interrupts: 0, at: after(110)) == .silence)
    }

    /// Its output may be a pipe that nobody reads for an hour, or the machine may sleep.
    @Test func timeInWhichNobodyLookedIsNoSilence() {
        var watch = watch(.seconds(100_000))
        watch.start(at: after(1))
        look(&watch, 1...20)
        watch.look(at: after(4000))
        look(&watch, 4000...4005)
        #expect(watch.stop(interrupts: 0, at: after(4005)) == nil)
        look(&watch, 4005...4020)
        #expect(watch.stop(interrupts: 0, at: after(4020)) == .silence)
    }
}
