import Testing
import VFIOUser

@testable import ConnectX

/// A guest that writes anything anywhere: nothing traps, and the function can be taken up again.
@Suite struct HostileDriverTests {
    /// Numbers from a seed, so that what fails can be tried again.
    private struct Numbers: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 31
        }
    }

    private static let interesting: [UInt32] = [
        0, 1, 2, 3, 7, 0x10, 0x40, 0x48, 0xff, 0x100, 0x1000, 0xffff, 0x10000, 0x7f_ffff, 0xff_ffff, 0x7fff_ffff,
        0x8000_0000, .max,
    ]

    private static func word(_ numbers: inout Numbers) -> UInt32 {
        numbers.next() & 1 == 0
            ? interesting[Int(numbers.next() % UInt64(interesting.count))] : UInt32(truncatingIfNeeded: numbers.next())
    }

    /// A command's input: mostly small words, so that it names what exists.
    private static func input(_ numbers: inout Numbers, _ opcode: UInt16, _ driver: DriverDouble) -> [UInt8] {
        let length = [16, 16, 32, 272, 280, 300, 528, 4112][Int(numbers.next() % 8)]
        var bytes = [UInt8](repeating: 0, count: length)
        bytes.replaceSubrange(0..<2, with: driver.big(opcode))
        for place in stride(from: 4, to: length, by: 4) where numbers.next() & 3 == 0 {
            bytes.replaceSubrange(place..<place + 4, with: driver.big(word(&numbers)))
        }
        if numbers.next() & 1 == 0 { bytes[6] = 0 }
        return bytes
    }

    /// Memory that answers slowly: other functions have their turn between commands.
    @Test func commandsThatTakeLongAreDoneInTurns() {
        final class Time { var now: UInt64 = 1 }
        let time = Time()
        let driver = DriverDouble {
            time.now += 4_000_000
            return time.now
        }
        driver.start()
        for slot in 0..<8 {
            let entry = [7, 0, 0, 0] + driver.big(UInt32(16)) + [UInt8](repeating: 0, count: 8) + driver.input(0x80d)
            driver.bus.poke(
                DriverDouble.queue + slot * 64,
                entry + [UInt8](repeating: 0, count: 24) + driver.big(UInt32(16)) + [0, 0, 0, 1])
        }
        driver.ring(0x18, 0xff)
        func left() -> Int { (0..<8).count { driver.bus.peek(DriverDouble.queue + $0 * 64 + 63, 1) == [1] } }
        #expect((1..<8).contains(left()) && driver.hca.wakeUp == 0)
        for _ in 0..<8 { driver.hca.work() }
        #expect(left() == 0)
    }

    @Test(arguments: 0..<8)
    func commandsOfAnyContent(_ seed: UInt64) {
        let driver = DriverDouble()
        driver.boot()
        _ = driver.eventQueue(.max)
        for _ in 0..<4 { _ = driver.command(0x800) }
        var numbers = Numbers(state: seed)
        let opcodes = Command.all.keys.sorted().filter { ![0x103, 0x105].contains($0) }
        for _ in 0..<3000 {
            let opcode = opcodes[Int(numbers.next() % UInt64(opcodes.count))]
            let input = Self.input(&numbers, opcode, driver)
            var output = [UInt8](repeating: 0, count: [16, 272, 304, 528, 4112][Int(numbers.next() % 5)])
            input.withUnsafeBytes { input in
                output.withUnsafeMutableBytes { driver.hca.perform(input, $0) }
            }
            #expect(CommandStatus(rawValue: output[0]) != nil)
        }
        #expect(driver.command(0x103).status == .ok)
    }

    @Test(arguments: 0..<4)
    func registersSlotsAndDoorbellsOfAnyContent(_ seed: UInt64) {
        let driver = DriverDouble()
        driver.boot()
        var numbers = Numbers(state: seed)
        for _ in 0..<3000 {
            switch numbers.next() % 4 {
            case 0:
                let offset = Int(numbers.next() % 0x1100) & ~3
                driver.write(0, offset, driver.big(Self.word(&numbers)))
            case 1:
                let page = Int(numbers.next() % 0x20)
                let place = [0x20, 0x40, 0x48, 0x800, 0x900, 0x804][Int(numbers.next() % 6)]
                driver.write(0, page * 4096 + place, driver.big(Self.word(&numbers)) + driver.big(Self.word(&numbers)))
            case 2:
                let slot = Int(numbers.next() % 32)
                var entry = (0..<16).flatMap { _ in driver.big(Self.word(&numbers)) }
                entry[0] = 7
                entry[63] = 1
                driver.bus.poke(DriverDouble.queue + slot * 64, entry)
                driver.write(0, 0x18, driver.big(UInt32(1) << UInt32(slot)))
            default:
                driver.write(7, Int(numbers.next() % 4096), driver.big(Self.word(&numbers)))
            }
            driver.hca.work()
            if driver.hca.needsReset { driver.hca.reset() }
        }
        driver.hca.reset()
        driver.boot()
        #expect(driver.command(0x800).status == .ok)
    }
}
