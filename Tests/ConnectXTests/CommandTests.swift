import Testing
import VFIOUser

@testable import ConnectX

/// What mlx5_core of 7.3.4 sends while it probes, and what becomes of commands that are none.
@Suite struct CommandTests {
    @Test func aDriverThatBootsIsAnswered() {
        let driver = DriverDouble()
        // Interface revision 5, 32 slots of 64 bytes.
        #expect(driver.bigWord(driver.read(0, 4, 4)) >> 16 == 5)
        #expect(driver.bigWord(driver.read(0, 0x14, 4)) & 0xff == 5 << 4 | 6)
        driver.start()
        #expect(driver.command(0x104, output: 12).status == .ok)
        let issi = driver.command(0x10a, output: 112)
        #expect(issi.status == .ok && issi.word(27) == 2)
        #expect(driver.command(0x10b, 0, 1).status == .ok)
        let pages = driver.command(0x107, 1).word(3)
        let list = (0..<pages).flatMap { driver.big(UInt64($0) << 12) }
        #expect(driver.command(driver.input(0x108, 1, 0, pages, list), slot: 31).status == .ok)
        #expect(driver.command(driver.input(0x805, 0, 0x7004, 0, list), output: 32).status == .ok)

        var general = driver.command(0x100, 1, output: 4112)
        #expect(general.status == .ok)
        let capabilities = Array(general.output[16...])
        #expect(capabilities[Field("cmd_hca_cap.log_max_qp", bit: 0x9b, width: 5)] == 18)
        #expect(capabilities[flag: Field("cmd_hca_cap.xrc", bit: 0x23c, width: 1)])
        // The driver writes back what it wants, and reads that as current.
        general.output[16] = 0xaa
        #expect(driver.command(driver.input(0x109, 0, 0, 0, Array(general.output[16...]))).status == .ok)
        #expect(driver.command(0x100, 1, output: 4112).output[16] == 0xaa)
        #expect(driver.command(0x100, 0, output: 4112).output[16] == capabilities[0])

        #expect(driver.command(driver.input(0x102, 0, 0, 0, [UInt8](repeating: 0, count: 16))).status == .ok)
        #expect(driver.command(0x101, output: 272).status == .ok)
        // GIDs, P_Keys and the port's state as the InfiniBand driver asks for them.
        let port = driver.command(0x762, output: 528)
        #expect(port.status == .ok && port.output[16 + 0x23] & 0xf == 4)
        #expect(driver.command(0x764, output: 32).output[16] == 0xfe)
        #expect(driver.command(driver.input(0x765, 0, 0, 0xffff), output: 16 + 512).word(4) == 0xffff)
        #expect(driver.command(0x103).status == .ok)
        // All that was lent comes back.
        let returned = driver.command(driver.input(0x108, 2, 0, 100), output: 16 + 800)
        #expect(returned.status == .ok && returned.word(2) == pages)
        #expect(returned.output[16 + 8..<16 + 16].elementsEqual(driver.big(UInt64(1 << 12))))
        #expect(driver.command(0x105, output: 12).status == .ok)
    }

    @Test func objectsAreGivenAndTakenBack() {
        let driver = DriverDouble()
        driver.boot()
        for (alloc, free) in [(0x802, 0x803), (0x800, 0x801), (0x80e, 0x80f), (0x816, 0x817)] as [(UInt16, UInt16)] {
            let first = driver.command(alloc).word(2)
            let second = driver.command(alloc).word(2)
            #expect(first != second)
            #expect(driver.command(free, 0, first).status == .ok)
            #expect(driver.command(free, 0, first).status == .badResource)
            #expect(driver.command(free, 0, 0xff_ffff).status == .badResource)
            #expect(driver.command(free, 0, second).status == .ok)
        }
    }

    @Test func numbersEndAndComeBack() {
        let driver = DriverDouble()
        driver.boot()
        let limit = Doorbell.pageCount - Doorbell.firstPage
        for _ in 0..<limit { #expect(driver.hca.outcome(of: 0x802) == .ok) }
        #expect(driver.hca.outcome(of: 0x802) == .noResources)
        #expect(driver.command(0x803, 0, 0x20).status == .ok)
        #expect(driver.command(0x802).word(2) == 0x20)
    }

    @Test func aDoorbellPageInUseStays() throws {
        let driver = DriverDouble()
        driver.boot()
        let queue = try #require(driver.eventQueue(1 << 0xa))
        let page = UInt32(queue.page / 4096)
        #expect(driver.command(0x803, 0, page).status == .badResourceState)
        #expect(driver.command(0x302, 0, queue.number).status == .ok)
        #expect(driver.command(0x803, 0, page).status == .ok)
    }

    @Test(
        arguments: [
            (0x999, 0, 0, CommandStatus.badOperation), (0x805, 1, 0x9999, .badParameter), (0x10b, 0, 2, .badParameter),
            (0x107, 9, 0, .badParameter), (0x108, 9, 0, .badParameter), (0x103, 0, 1, .badParameter),
            (0x102, 0, 0, .badInputLength), (0x301, 0, 0, .badInputLength), (0x100, 1, 0, .badOutputLength),
            (0x762, 0, 0, .badOutputLength), (0x764, 0, 0, .badOutputLength), (0x764, 0, 0x8000_0000, .badParameter),
            (0x302, 0, 3, .badResource), (0x303, 0, 0xffff_ffff, .badOutputLength), (0x104, 0, 0, .badSystemState),
        ] as [(UInt16, UInt16, UInt32, CommandStatus)])
    func aBadCommandGetsItsStatus(_ opcode: UInt16, _ modifier: UInt16, _ second: UInt32, _ status: CommandStatus) {
        let driver = DriverDouble()
        driver.boot()
        let answer = driver.command(opcode, modifier, second)
        #expect(answer.delivery == 0 && answer.status == status)
        // The reason has a number, which the driver prints.
        #expect(answer.word(1) != 0)
    }

    @Test func nothingIsDoneBeforeItsTime() {
        let driver = DriverDouble()
        driver.start()
        #expect(driver.command(0x100, 1, output: 4112).status == .badSystemState)
        #expect(driver.command(0x800).status == .badSystemState)
        #expect(driver.command(0x104, output: 12).status == .ok)
        #expect(driver.command(0x800).status == .badSystemState)
        #expect(driver.command(0x103).status == .badSystemState)
    }

    @Test(
        arguments: [
            (0, [6], 0x10), (4, [0, 0, 0, 8], 7), (4, [0xff, 0xff, 0xff, 0xff], 7), (4, [0, 0, 0x10, 0], 5),
            (52, [0, 0, 0, 0, 0xff, 0xff], 8), (52, [0, 0, 0, 0], 4), (48, [0xff], 4), (8, [0xff], 5), (60, [9], 2),
        ] as [(Int, [UInt8], UInt64)])
    func aMalformedSlotIsNotDelivered(_ place: Int, _ bytes: [UInt8], _ delivery: UInt64) {
        let driver = DriverDouble()
        driver.boot()
        let answer = driver.command(driver.input(0x109, 0, 0, 0, [UInt8](repeating: 0, count: 600)), output: 528) {
            $0.replaceSubrange(place..<place + bytes.count, with: bytes)
        }
        #expect(answer.delivery == delivery)
    }

    @Test func aChainThatNeverEndsIsNotFollowed() {
        let driver = DriverDouble()
        driver.boot()
        let box = driver.page()
        driver.bus.poke(box + 560, driver.big(UInt64(box)))
        let answer = driver.command(driver.input(0x109), output: 16) {
            $0.replaceSubrange(4..<16, with: driver.big(UInt32(1 << 20)) + driver.big(UInt64(box)))
        }
        #expect(answer.delivery == 3)
    }

    @Test func aSlotOfTheDriversIsLeftAlone() {
        let driver = DriverDouble()
        driver.boot()
        let answer = driver.command(driver.input(0x800)) { $0[63] = 0 }
        #expect(answer.delivery == 0 && answer.output.allSatisfy { $0 == 0 })
    }

    /// Wherever memory ends while a command is answered, the next one is answered.
    @Test func memoryThatGoesAwayEndsOneCommand() {
        let driver = DriverDouble()
        driver.boot()
        for calls in 0..<12 {
            driver.bus.callsLeft = calls
            _ = driver.command(driver.input(0x100, 1), output: 4112)
            driver.bus.callsLeft = nil
            #expect(driver.command(0x100, 1, output: 4112).status == .ok)
        }
    }

    @Test func theTimerAndTheCapabilitiesAgreeWithCompletions() {
        let bus = TestBus()
        let hca = HCA(HCAOptions(), bus: bus, clock: { 0x1234_5678_9abc })
        var bytes = [UInt8](repeating: 0, count: 8)
        bytes.withUnsafeMutableBytes { hca.read(0, at: 0x1000, into: $0) }
        #expect(bytes == [0, 0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc])
        // The driver reads halves.
        var half = [UInt8](repeating: 0, count: 4)
        half.withUnsafeMutableBytes { hca.read(0, at: 0x1004, into: $0) }
        #expect(half == [0x56, 0x78, 0x9a, 0xbc])
        let driver = DriverDouble()
        driver.boot()
        // device_frequency_khz: the clock counts nanoseconds.
        #expect(driver.command(0x100, 1, output: 4112).word(4 + 0x4e0 / 32) == 1_000_000)
    }
}

extension HCA {
    /// A command of 16 bytes without memory.
    func outcome(of opcode: UInt16) -> CommandStatus? {
        var input = [UInt8](repeating: 0, count: 16)
        var output = input
        input[0] = UInt8(opcode >> 8)
        input[1] = UInt8(opcode & 0xff)
        input.withUnsafeBytes { input in output.withUnsafeMutableBytes { perform(input, $0) } }
        return CommandStatus(rawValue: output[0])
    }
}
