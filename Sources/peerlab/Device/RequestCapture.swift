import ArgumentParser
import ConnectX
import Kernel
public import LabBench
public import VFIOUser

extension CaptureSocket: ServedSocket {}

/// Options that the lab sets, so that the guest can get the requests of served NICs.
struct CaptureOptions: ParsableArguments {
    /// The descriptor of the connection to the guest's port.
    @Option(name: .customLong("capture"), help: .hidden)
    var connection: Int32?

    /// The memory file of another function, and that function: "ST_DEV:ST_INO=VENDOR:DEVICE/BAR".
    @Option(name: .customLong("capture-target"), help: .hidden)
    var target: String?

    func validate() throws {
        guard target == nil || named != nil else {
            throw ValidationError("--capture-target takes DEV:INO=VENDOR:DEVICE/BAR")
        }
    }

    /// `target`, parsed.
    private var named: (file: FileIdentity, identity: UInt32, region: UInt8)? {
        let parts = (target ?? "").split(whereSeparator: { ":=/".contains($0) })
        guard parts.count == 5, let device = UInt64(parts[0]), let inode = UInt64(parts[1]),
            let vendor = UInt16(parts[2], radix: 16), let model = UInt16(parts[3], radix: 16),
            let region = UInt8(parts[4]), region < 6
        else { return nil }
        return (FileIdentity(device: device, inode: inode), UInt32(vendor) << 16 | UInt32(model), region)
    }

    /// A value for `target`.
    static func text(_ memory: (identity: String, device: UInt64, inode: UInt64), region: Int) -> String {
        "\(memory.device):\(memory.inode)=\(memory.identity)/\(region)"
    }

    /// A recorder of the NICs' requests; nil where nobody can ask for them.
    func capture() -> RequestCapture? { connection.map { RequestCapture($0, named) } }
}

/// Records requests of NICs, for the guest to fetch.
final class RequestCapture {
    let socket: CaptureSocket
    private let ring = CaptureRing()
    private let start = HCA.monotonic()
    private var target: (file: FileIdentity, identity: UInt32, region: UInt8)?

    fileprivate init(_ connection: Int32, _ target: (file: FileIdentity, identity: UInt32, region: UInt8)?) {
        socket = CaptureSocket(connection, ring)
        self.target = target
    }

    /// Adds an exporter of this process, whose memory NICs reach below a switch.
    func know(_ exporter: Exporter, described description: Exporter.Description) {
        let identity = UInt32(description.vendor) << 16 | UInt32(description.device)
        target = (exporter.memoryFile, identity, UInt8(Exporter.memoryBAR))
    }

    /// Records the requests of a NIC on its bus.
    func listen(to hca: HCA, on bus: any PCIBus) {
        hca.requests = { [self, unowned hca, unowned bus] request in
            var request = request
            request.time &-= start
            var place: CapturedTLP.Target?
            if let target, let found = bus.place(of: request.address), found.file == target.file {
                place = CapturedTLP.Target(identity: target.identity, region: target.region, offset: found.offset)
            }
            ring.add(CapturedTLP(request, requester: hca.address(ofBAR: 0) ?? 0, target: place))
        }
    }
}
