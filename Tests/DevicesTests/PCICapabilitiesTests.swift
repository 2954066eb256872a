import CKernel
import Kernel
import Testing

@testable import Devices

/// What a configuration space says of hints.
@Suite struct PCICapabilitiesTests {
    /// A PCI Express endpoint with these bits 13:12 of Device Capabilities 2.
    private func capabilities(_ code: Int) -> PCICapabilities {
        var config = [UInt8](repeating: 0, count: PCI_CFG_SPACE_SIZE)
        config[PCI_STATUS] = UInt8(PCI_STATUS_CAP_LIST)
        config[PCI_CAPABILITY_LIST] = 0x40
        config[0x40] = UInt8(PCI_CAP_ID_EXP)
        config[0x40 + PCI_EXP_FLAGS] = 2
        config[0x40 + PCI_EXP_DEVCAP2 + 1] = UInt8(code << 4)
        return PCICapabilities(config)
    }

    /// PCI Express Base Specification 6.0, 7.5.3.15: 2 is reserved.
    @Test(arguments: [(0, TPHSupport.none), (1, .tph), (2, .none), (3, .extended)])
    func theReservedValueIsNoCompleter(_ code: Int, _ support: TPHSupport) {
        #expect(capabilities(code).completer == support && capabilities(code).completerCode == code)
    }
}
