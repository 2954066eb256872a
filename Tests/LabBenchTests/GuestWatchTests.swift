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
        watch.uses(1, at: after(149))
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

    @Test func anEmulatorThatDoesNothingStandsStill() {
        var watch = watch(.seconds(1000))
        watch.start(at: after(1))
        watch.uses(5, at: after(2))
        watch.uses(5, at: after(61))
        #expect(watch.stop(interrupts: 0, at: after(62)) == nil)
        #expect(watch.stop(interrupts: 0, at: after(63)) == .standstill)
        watch.uses(6, at: after(63))
        #expect(watch.stop(interrupts: 0, at: after(123)) == nil)
        // Where it cannot be read nothing is concluded.
        watch.uses(nil, at: after(500))
        #expect(watch.stop(interrupts: 0, at: after(501)) == nil)
    }
}
