import Testing
import VFIOUser

@testable import ConnectX

@Suite struct ResetTests {
    /// The driver's health poll must find the function disabled, or its commands would wait for their timeouts.
    @Test func aFunctionLevelResetForgetsAllAndDisablesTheFunction() throws {
        let driver = DriverDouble()
        driver.boot()
        let queue = try #require(driver.eventQueue(1 << 0xa))
        driver.write(7, 0x48, [0x10, 0xa8])
        #expect(driver.hca.needsReset)
        driver.hca.reset()
        #expect(!driver.hca.needsReset && !driver.hca.isBusMaster)
        #expect(driver.bigWord(driver.read(0, 0x14, 4)) >> 8 & 7 == 1)
        #expect(driver.hca.events[Int(queue.number)] == nil)
        // Taken up anew, it boots.
        driver.boot()
        #expect(driver.bigWord(driver.read(0, 0x14, 4)) >> 8 & 7 == 0)
        #expect(driver.eventQueue(1 << 0xa)?.number == queue.number)
    }

    @Test func aFunctionThatNobodyUsedIsReadyAfterAReset() {
        let driver = DriverDouble()
        driver.hca.reset()
        #expect(driver.bigWord(driver.read(0, 0x14, 4)) >> 8 & 7 == 0)
    }

    @Test func aDriverCanDisableIt() {
        let driver = DriverDouble()
        driver.boot()
        driver.ring(0x14, UInt32(DriverDouble.queue) | 1 << 8)
        #expect(driver.command(0x80d).delivery >> 63 == 1)
        driver.ring(0x14, UInt32(DriverDouble.queue) | 7 << 8)
        driver.hca.work()
        #expect(driver.hca.state == .nothing)
    }

    /// Three equal looks in a row and the driver gives the device up.
    @Test func theHealthCounterNeverStandsStill() {
        let driver = DriverDouble()
        let looks = (0..<100).map { _ in driver.bigWord(driver.read(0, 0x1010, 4)) }
        #expect(zip(looks, looks.dropFirst()).allSatisfy { $0 != $1 })
    }

    @Test func anAccessAcrossAnyBorderIsAnswered() {
        let driver = DriverDouble()
        driver.boot()
        for offset in [0, 1, 0x1fff, 0x2000, 0xffff, 0x1ff_fff8] {
            for count in [1, 2, 3, 4, 8] where offset + count <= 32 << 20 {
                _ = driver.read(0, offset, count)
                driver.write(0, offset, [UInt8](repeating: 0xff, count: count))
                driver.hca.work()
            }
        }
    }

    @Test func whatTheConfigurationSaysFollowsTheOptions() {
        func capability(_ tph: HCAOptions.TPH) -> [UInt8] {
            var options = HCAOptions()
            options.tph = tph
            return DriverDouble(options).read(7, 0x100, 12)
        }
        #expect(capability(.none) == [UInt8](repeating: 0, count: 12))
        #expect(capability(.table(8))[0] == 0x17 && capability(.table(8))[5] & 6 == 2 && capability(.table(8))[6] == 7)
        #expect(capability(.direct)[5] & 6 == 0 && capability(.vectors)[5] & 6 == 4)
    }
}

extension ResetTests {
    /// The driver reads the syndrome in its health buffer, and prints it.
    @Test func whatFailsIsToldByHealth() throws {
        let driver = DriverDouble()
        driver.boot()
        let queue = try #require(driver.eventQueue(1 << 0xa, log: 2))
        #expect(driver.read(0, 0x23d, 1) == [0])
        for _ in 0..<5 { _ = driver.command(0x80d) }
        #expect(driver.read(0, 0x23d, 1) == [0xc])
        _ = driver.command(0x302, 0, queue.number)
        driver.write(7, 0x48, [0x10, 0xa8])
        driver.hca.reset()
        #expect(driver.read(0, 0x23d, 1) == [0])
        driver.boot()
        driver.bus.callsLeft = 0
        driver.ring(0x18, 1)
        #expect(driver.read(0, 0x23d, 1) == [0xa])
    }
}
