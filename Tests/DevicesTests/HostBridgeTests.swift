import CKernel
import Kernel
import Testing

@testable import Devices

/// What the kernel's list says of a host bridge, by the first function below it, and what could not be read of that.
@Suite struct HostBridgeTests {
    private static let first = "/sys/bus/pci/devices/0000:80:01.0"

    private func listing(_ type: Int, bytes count: Int) -> String? {
        var config = [UInt8](repeating: 0, count: PCI_CFG_SPACE_SIZE)
        config[PCI_STATUS] = UInt8(PCI_STATUS_CAP_LIST)
        config[PCI_CAPABILITY_LIST] = 0x40
        config[0x40] = UInt8(PCI_CAP_ID_EXP)
        config[0x40 + PCI_EXP_FLAGS] = UInt8(type << 4 | 2)
        let kernel = TPHKernel([:])
        // drivers/pci/p2pdma.c:pci_p2pdma_whitelist: Intel Xeon E5, the same host bridge alone.
        kernel.files = [
            "\(Self.first)/config": Array(config[..<count]), "\(Self.first)/vendor": Array("0x8086\n".utf8),
            "\(Self.first)/device": Array("0x3c00\n".utf8),
        ]
        return kernel.listing(ofHostBridge: "pci0000:80")?.rawValue
    }

    @Test func aRootPortMaySpeakForItsBridge() {
        #expect(listing(PCI_EXP_TYPE_ROOT_PORT, bytes: 256) == "same")
        #expect(listing(PCI_EXP_TYPE_RC_END, bytes: 256) == "none")
    }

    /// Everybody but root gets 64 bytes, which do not say what the function is.
    @Test func whatItIsCannotBeReadByEverybody() {
        #expect(listing(PCI_EXP_TYPE_ROOT_PORT, bytes: 64) == nil)
        #expect(listing(PCI_EXP_TYPE_RC_END, bytes: 64) == nil)
    }
}
