import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// Arguments nobody should pass: the kernel may refuse, it must not fall over.
@Suite struct HostileTests {
    struct Dice: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33 ^ state << 31
        }
    }

    static let requests =
        Array(0x3b64...0x3b96) + [DMA_BUF_IOCTL_SYNC, DMA_BUF_SET_NAME_B, 0x4004_6201, 0xc008_6202, -1]
    /// None of them the address of anything.
    static let words: [UInt64] = [
        0, 1, 2, 3, 4, 6, 8, 11, 12, 13, 16, 24, 32, 40, 64, 4095, 4096, 0x1000b, 0x2000d, 1 << 20, 1 << 31,
        0xffff_ffff, 1 << 32, 1 << 40, 1 << 48, 1 << 63, .max - 4095, .max - 1, .max,
    ]

    @Test(arguments: TPHRevision.allCases.indices)
    func ioctls(_ index: Int) throws {
        var dice = Dice(state: UInt64(index) + 1)
        var topology = Topology.standard
        topology.tph = TPHRevision.allCases[index]
        let bench = Bench(topology)
        let iommufd = bench.open("/dev/iommu")
        let exporter = try bench.bound(Bench.exporter, to: iommufd)
        let ioas = try bench.ioas(iommufd)
        #expect(bench.attach(exporter, ioas) == 0)
        let container = bench.open("/dev/vfio/vfio")
        let group = bench.open("/dev/vfio/11")
        var descriptor = container
        #expect(bench.ioctl(group, VFIO_GROUP_SET_CONTAINER, &descriptor) == 0)
        #expect(bench.kernel.ioctl(container, UInt(VFIO_SET_IOMMU), .value(3)) == 0)
        let files = [
            -1, 1000, iommufd, exporter, container, group, Int32(bench.export(exporter, [(0, 4096)])),
            try bench.cdev(Bench.engine), bench.open("/proc/kallsyms", O_RDONLY),
        ]
        for _ in 0..<4000 {
            let request = HostileTests.requests.randomElement(using: &dice) ?? 0
            var bytes: [UInt8] = (0..<8).flatMap { _ in
                let word = HostileTests.words.randomElement(using: &dice) ?? 0
                return Bool.random(using: &dice)
                    ? Bench.bytes(word)
                    : Bench.bytes(UInt32(truncatingIfNeeded: word))
                        + Bench.bytes(UInt32.random(in: 0...70, using: &dice))
            }
            bytes.removeLast(Int.random(in: 0...40, using: &dice))
            let file = files.randomElement(using: &dice) ?? -1
            let result = bytes.withUnsafeMutableBytes {
                bench.kernel.ioctl(file, UInt(bitPattern: request), .memory($0))
            }
            #expect(result >= -4095)
        }
    }

    @Test func otherCalls() throws {
        let bench = Bench()
        let kernel = bench.kernel
        let device = try bench.bound(Bench.engine, to: bench.open("/dev/iommu"))
        var buffer = [UInt8](repeating: 0xa5, count: 300)
        for offset in HostileTests.words + (0..<12).map({ $0 << 40 + 0x7d }) {
            buffer.withUnsafeMutableBytes { bytes in
                _ = kernel.pwrite(device, UnsafeRawBufferPointer(bytes), at: offset)
                _ = kernel.pread(device, bytes, at: offset)
            }
            _ = kernel.lseek(device, Int64(bitPattern: offset), Int32(truncatingIfNeeded: offset))
            for length in [-1, 0, 1, 4096, Int.max] {
                let refusal = errno { () throws(Errno) in
                    _ = try kernel.mmap(
                        length: length, protection: PROT_READ, flags: MAP_SHARED, device, at: offset)
                }
                #expect(refusal != 0)
            }
        }
        let here = try bench.memory(3 * 4096)
        #expect(kernel.munmap(here + 1, length: 4096) == -Int(EINVAL))
        #expect(kernel.munmap(here, length: -1) == -Int(EINVAL))
        #expect(kernel.munmap(here + 4096, length: 4096) == 0)
        #expect(kernel.munmap(here, length: 3 * 4096) == -Int(EOPNOTSUPP))
        #expect(kernel.open.filter { $0 == "mapping of 4096 bytes" }.count == 2)
        if let top = UnsafeMutableRawPointer(bitPattern: UInt.max & ~4095) {
            #expect(kernel.munmap(top, length: 8192) == -Int(EINVAL))
        }
        #expect(kernel.close(-1) == -Int(EBADF))
        #expect(kernel.close(.max) == -Int(EBADF))
    }

    @Test func timeDoesNotOverflow() throws {
        let bench = Bench()
        #expect(bench.kernel.monotonic() == 0)
        #expect(bench.kernel.monotonic() > 0)
        let device = try bench.bound(Bench.engine, to: bench.open("/dev/iommu"))
        _ = bench.kernel.sleep(nanoseconds: .max)
        _ = bench.kernel.sleep(nanoseconds: .max)
        bench.put(device, 0, 8, UInt32.max)
        bench.put(device, 0, 0x98, UInt32(1))
        #expect(bench.kernel.monotonic() == 1 << 63)
    }

    @Test func oddTopologies() throws {
        let topology = Topology(
            apertureBits: 99,
            devices: [
                .init(
                    address: "0000:01:00.0", vendor: 1, device: 1, classCode: .max, group: -1,
                    bars: [
                        .init(5, size: 3, is64Bit: true), .init(9, size: 4096), .init(1, size: .max), .init(2, size: 0),
                    ]),
                .init(address: "0000:01:00.0", vendor: 2, device: 2, classCode: 0, driver: nil, group: -1),
            ], nics: [.init(name: String(repeating: "x", count: 300), address: "nowhere")])
        let bench = Bench(topology)
        let device = try bench.bound(Bench.exporter, to: bench.open("/dev/iommu"))
        #expect(bench.export(device, region: 5, [(0, 4096)]) == -Int(EINVAL))
        bench.put(device, 7, 0x10, UInt64.max)
        bench.put(device, 7, 0x20, UInt64.max)
    }

    /// A bench may say anything of a function's configuration space.
    @Test(arguments: [256, 4096])
    func configurationSpaces(_ size: Int) throws {
        for seed in 1...100 as ClosedRange<UInt64> {
            var dice = Dice(state: seed)
            var topology = Topology.standard
            topology.devices[0].configSize = size
            topology.devices[0].keepsConfigWrites = seed % 2 == 0
            // Chains of known capabilities at places that fit, overlap or leave the space.
            var config = [UInt8](repeating: 0, count: size)
            for place in config.indices { config[place] = UInt8.random(in: 0...255, using: &dice) }
            for place in stride(from: 0x40, to: 0xfc, by: 4) {
                config[place] = [1, 3, 5, 9, 0x0d, 0x10, 0x11, 0x13].randomElement(using: &dice) ?? 0
                config[place + 1] = UInt8.random(in: 0x40...255, using: &dice)
            }
            config[0x06] |= 0x10
            topology.devices[0].config = [(0, config)]
            let bench = Bench(topology)
            let device = try bench.bound(Bench.exporter, to: bench.open("/dev/iommu"))
            for place in 0..<UInt64(256) {
                bench.put(device, 7, place, [0, 0xff].randomElement(using: &dice) ?? UInt8(0))
                _ = bench.get(device, 7, place, UInt32.self)
            }
            var bytes = [UInt8](repeating: 0xff, count: size)
            #expect(bytes.withUnsafeBytes { bench.kernel.pwrite(device, $0, at: 7 << 40) } == size)
            #expect(bytes.withUnsafeMutableBytes { bench.kernel.pread(device, $0, at: 7 << 40) } == size)
            _ = bench.kernel.close(device)
        }
    }
}
