import Kernel
public import SimKernel

extension Topology {
    /// An exporter, a DMA engine and a ConnectX, each in its own IOMMU group, on a kernel with v2 of the series: what
    /// stdlib/benches/standard.lua describes.
    public static let standard = Topology(
        name: "standard", tph: .v2,
        devices: [
            Topology.Device(
                address: "0000:01:00.0", vendor: 0x1af4, device: 0x1110, classCode: 0x050000, group: 10,
                bars: [
                    Topology.BAR(0, size: 256), Topology.BAR(2, size: 1 << 20, is64Bit: true, prefetchable: true),
                ], completer: .extended, tphRequester: true),
            Topology.Device(
                address: "0000:02:00.0", vendor: 0x1234, device: 0x11e8, classCode: 0x00ff00, group: 11,
                bars: [Topology.BAR(0, size: 1 << 20, kind: .registers)], kind: .edu),
            Topology.Device(
                address: "0000:03:00.0", vendor: 0x15b3, device: 0x1021, classCode: 0x020000, driver: "mlx5_core",
                group: 12, bars: [Topology.BAR(0, size: 1 << 25, is64Bit: true, prefetchable: true)],
                tphRequester: true,
                kind: .nic),
        ],
        nics: [Topology.NIC(name: "mlx5_0", address: "0000:03:00.0")])
}
