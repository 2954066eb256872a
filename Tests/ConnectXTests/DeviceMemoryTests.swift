import Testing
import VFIOUser

@testable import ConnectX

/// Memory of the device's own: allocated by command, written and read through BAR 0, and by memory keys.
@Suite struct DeviceMemoryTests {
    private let driver = DriverDouble()

    /// ALLOC_MEMIC of a size in the page of BAR 0 with this number.
    private func allocate(page: Int, size: UInt32, range: UInt32 = 4096, logAlignment: UInt32 = 0) -> Answer {
        let start = UInt64(DeviceMemory.start + page * 4096)
        return driver.command(
            driver.input(
                0x205, 0, 0, logAlignment, driver.big(start) + driver.big(range) + driver.big(size)))
    }

    private func free(_ place: UInt64, size: UInt32) -> Answer {
        driver.command(driver.input(0x206, 0, 0, 0, driver.big(place) + driver.big(size) + driver.big(UInt32(0))))
    }

    private func place(_ answer: Answer) -> UInt64 { UInt64(answer.word(2)) << 32 | UInt64(answer.word(3)) }

    @Test func theCapabilityNamesWhatIsThere() {
        driver.boot()
        let capability = driver.command(0x100, 0xf << 1 | 1, output: 4112)
        #expect(capability.word(4) >> 31 == 1)
        #expect(capability.word(4 + 3) == UInt32(DeviceMemory.start))
        #expect(capability.word(4 + 4) == UInt32(DeviceMemory.size))
        #expect(driver.hca.region(0).size >= DeviceMemory.start + DeviceMemory.size)
        let last = driver.hca.capabilities[Capabilities.logMaxProtectionDomain]
        #expect(last > 0 && Doorbell.pageCount * Doorbell.pageSize == DeviceMemory.start)
    }

    @Test func whatIsWrittenThroughTheBARIsRead() {
        driver.boot()
        let answer = allocate(page: 2, size: 128)
        #expect(answer.status == .ok)
        let start = Int(place(answer))
        #expect(start == DeviceMemory.start + 2 * 4096)
        driver.write(0, start + 4, [1, 2, 3, 4])
        #expect(driver.read(0, start, 12) == [0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0])
        // The next owner finds zeros.
        #expect(free(UInt64(start), size: 128).status == .ok)
        #expect(allocate(page: 2, size: 64).status == .ok)
        #expect(driver.read(0, start, 8) == [0, 0, 0, 0, 0, 0, 0, 0])
        driver.write(0, DeviceMemory.start + DeviceMemory.size - 4, [9, 9, 9, 9, 9, 9, 9, 9])
        #expect(driver.read(0, DeviceMemory.start + DeviceMemory.size - 4, 4) == [0, 0, 0, 0])
    }

    @Test func piecesDoNotOverlap() {
        driver.boot()
        #expect(place(allocate(page: 0, size: 1024)) == UInt64(DeviceMemory.start))
        #expect(place(allocate(page: 0, size: 64, logAlignment: 5)) == UInt64(DeviceMemory.start + 2048))
        #expect(place(allocate(page: 0, size: 512)) == UInt64(DeviceMemory.start + 1024))
        // The driver takes "no resources" for a range to pass over.
        #expect(allocate(page: 0, size: 2048).status == .noResources)
        for (page, size, range, alignment) in [
            (0, 0, 4096, 0), (0, 65, 4096, 0), (-1, 64, 4096, 0), (63, 64, 8192, 0), (1, 64, 4096, 7),
            (1, 64, UInt32.max, 0),
        ] as [(Int, UInt32, UInt32, UInt32)] {
            let answer = allocate(page: page, size: size, range: range, logAlignment: alignment)
            #expect(answer.status == .badParameter)
        }
        #expect(free(UInt64(DeviceMemory.start), size: 64).status == .badResource)
        #expect(free(UInt64.max, size: 64).status == .badResource)
    }

    @Test func aMemoryKeyIsOfOnePiece() {
        driver.boot()
        let domain = driver.command(0x800).word(2)
        let start = UInt32(place(allocate(page: 0, size: 128)))
        func key(_ start: UInt32, _ length: UInt32) -> Answer {
            let context = driver.context(
                256, [0: 1 << 26 | 0x3c << 8 | 1 << 8, 4: 0xffff_ff00, 0xc: domain, 0x14: start, 0x1c: length])
            return driver.command(driver.input(0x200, 0, 0, 0, context))
        }
        for (offset, length) in [(0, 129), (64, 65), (128, 1), (4096, 64)] as [(UInt32, UInt32)] {
            #expect(key(start + offset, length).status == .badResource)
        }
        let whole = key(start, 128)
        #expect(whole.status == .ok)
        #expect(free(UInt64(start), size: 128).status == .badResourceState)
        #expect(driver.command(0x202, 0, whole.word(2)).status == .ok)
        #expect(free(UInt64(start), size: 128).status == .ok)
    }

    @Test func aQueuePairWritesAndReadsIt() throws {
        let nic = DataPathDouble()
        let (left, right) = try PairDouble.connected(nic, nic)
        let start = try nic.path.deviceMemory.allocate(
            4096, logAlignment: 0, in: DeviceMemory.start + 4096..<DeviceMemory.start + 12288)
        let remote = try nic.key(nic.keyContext(mode: 5, start: start + 64, length: 256))
        let memory = nic.room(4096)
        nic.fill(memory, 256)
        let local = try nic.key(memory, 4096)
        // Addresses under such a key count from its start.
        let whole = PairDouble.Piece(address: memory, length: 200, key: local)
        left.post(.write, PairDouble.body(remote: (8, remote), [], [whole]))
        let back = PairDouble.Piece(address: memory + 1024, length: 200, key: local)
        left.post(.read, PairDouble.body(remote: (8, remote), [], [back]))
        #expect(left.sent().map(\.opcode) == [0, 0])
        #expect(nic.bus.peek(memory + 1024, 200) == nic.bus.peek(memory, 200))
        #expect(nic.path.deviceMemory.bytes(at: UInt64(start + 72), 200).map { Array($0) } == nic.bus.peek(memory, 200))
        left.post(.write, PairDouble.body(remote: (57, remote), [], [whole]))
        #expect(left.sent().map(\.syndrome) == [CompletionSyndrome.remoteAccess.rawValue])
        #expect(right.pair?.state == .error)
    }

    @Test func aResetForgetsIt() {
        driver.boot()
        let start = Int(place(allocate(page: 0, size: 64)))
        driver.write(0, start, [7, 7, 7, 7])
        driver.hca.reset()
        #expect(driver.read(0, start, 4) == [0, 0, 0, 0])
        driver.boot()
        #expect(allocate(page: 0, size: 4096).status == .ok)
    }
}
