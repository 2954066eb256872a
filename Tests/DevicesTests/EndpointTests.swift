import CKernel
import Testing

@testable import Devices

/// How a peer is reached.
@Suite struct EndpointTests {
    private func entry(type: UInt32) -> GIDEntry {
        GIDEntry(index: 0, gid: [UInt8](repeating: 0, count: 16), type: type)
    }

    private func endpoint(lid: UInt16) -> Endpoint {
        Endpoint(number: 1, lid: lid, gid: [UInt8](repeating: 0, count: 16))
    }

    @Test func byLIDOnInfiniBand() {
        #expect(!endpoint(lid: 1).isGlobal(over: entry(type: 0), isChosen: false))
        #expect(endpoint(lid: 0).isGlobal(over: entry(type: 0), isChosen: false))
        // A GID that the user names is used.
        #expect(endpoint(lid: 1).isGlobal(over: entry(type: 0), isChosen: true))
    }

    /// Of a NIC without atomics the refusal names the flag; of another one it rules the flag out.
    @Test func aRefusedConnectionNamesTheFlag() {
        var device = ibv_device_attr()
        device.atomic_cap = IBV_ATOMIC_NONE
        let all = IBV_ACCESS_REMOTE_WRITE.rawValue | IBV_ACCESS_REMOTE_ATOMIC.rawValue
        #expect(QueueLimits(of: device).hint(connecting: all).hasSuffix("the device does none: leave the flag out"))
        #expect(
            QueueLimits(of: device).hint(connecting: 2).hasPrefix("remote_atomic was not asked for, so what remains"))
        device.atomic_cap = IBV_ATOMIC_HCA
        #expect(QueueLimits(of: device).hint(connecting: all).hasPrefix("the device does atomics, so what remains"))
    }

    @Test(arguments: [1, 2] as [UInt32]) func byAddressOnEthernet(type: UInt32) {
        #expect(endpoint(lid: 1).isGlobal(over: entry(type: type), isChosen: false))
        #expect(endpoint(lid: 0).isGlobal(over: entry(type: type), isChosen: false))
    }
}
