import Kernel
import Testing

@testable import Devices

/// The options of the running kernel, and the files that have them.
@Suite struct KernelConfigTests {
    /// gzip(1) of "CONFIG_PCI=y", "CONFIG_VFIO=m", "# CONFIG_VFIO_PCI is not set", a line each.
    private static let packed: [UInt8] = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x73, 0xf6, 0xf7, 0x73, 0xf3, 0x74,
        0x8f, 0x0f, 0x70, 0xf6, 0xb4, 0xad, 0xe4, 0x72, 0x86, 0x70, 0xc2, 0xdc, 0x3c, 0xfd, 0x6d, 0x73,
        0xb9, 0x94, 0x15, 0x90, 0xf8, 0x20, 0x15, 0x0a, 0x99, 0xc5, 0x0a, 0x79, 0xf9, 0x25, 0x0a, 0xc5,
        0xa9, 0x25, 0x5c, 0x00, 0x71, 0xc3, 0x4e, 0xfe, 0x38, 0x00, 0x00, 0x00,
    ]

    private func config(_ files: [String: [UInt8]]) -> KernelConfig? {
        let kernel = TPHKernel([:])
        kernel.files = files
        kernel.files["/proc/sys/kernel/osrelease"] = Array("7.3.4\n".utf8)
        return KernelConfig(kernel)
    }

    @Test func theKernelsOwnComesFirst() throws {
        let distribution = Array("CONFIG_VFIO_PCI=m\n".utf8)
        let own = try #require(config(["/proc/config.gz": Self.packed, "/boot/config-7.3.4": distribution]))
        #expect(own.path == "/proc/config.gz" && own["PCI"] == "y" && own["VFIO"] == "m" && own["VFIO_PCI"] == "n")
        #expect(own.isSwitchedOff("VFIO_PCI") && own["IOMMUFD"] == "n" && !own.isSwitchedOff("IOMMUFD"))
        let other = try #require(config(["/boot/config-7.3.4": distribution]))
        #expect(other.path == "/boot/config-7.3.4" && other["VFIO_PCI"] == "m")
    }

    /// Cut off, damaged, or none at all: then it says nothing.
    @Test func whatIsNoPackedFileIsNotRead() {
        var damaged = Self.packed
        damaged[damaged.count - 6] ^= 0xff
        for bytes in [[], Array(Self.packed.dropLast(9)), damaged, Array("CONFIG_VFIO_PCI=m\n".utf8)] {
            #expect(config(["/proc/config.gz": bytes]) == nil)
        }
        #expect(config([:]) == nil && config(["/boot/config-7.3.4": Array("<html>\n".utf8)]) == nil)
    }

    /// A small file may hold gigabytes; a file may be as long.
    @Test func readersHaveLimits() {
        #expect(GZip.unpacked(Self.packed, limit: 56)?.count == 56 && GZip.unpacked(Self.packed, limit: 55) == nil)
        let long = [UInt8](repeating: 10, count: 5 << 20) + Array("CONFIG_VFIO_PCI=m\n".utf8)
        #expect(config(["/boot/config-7.3.4": long]) == nil)
        #expect(config(["/proc/config.gz": Self.packed + [UInt8](repeating: 0, count: 2 << 20)]) == nil)
    }
}
