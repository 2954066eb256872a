import Kernel

/// The guest's PCI functions and the addresses of their BARs, from sysfs, to name captured requests.
struct GuestFunctions {
    struct Function: Equatable {
        /// "0000:05:00.0"
        let address: String
        /// Vendor in 31:16, device in 15:0.
        let identity: UInt32
        /// Bus address of each BAR; 0 for none.
        let bars: [UInt64]
    }

    /// Functions by the bus address of BAR 0, and by identity. An address or identity that two functions share is
    /// left out.
    private let requesters: [UInt64: (address: String, requester: UInt16)]
    private let targets: [UInt32: String]

    init(_ all: [Function]) {
        let placed = all.filter { $0.bars.first ?? 0 != 0 }
        requesters = Dictionary(grouping: placed) { $0.bars[0] }.compactMapValues { same in
            same.count == 1 ? (same[0].address, TLP.requester(same[0].address)) : nil
        }
        targets = Dictionary(grouping: all, by: \.identity).compactMapValues { $0.count == 1 ? $0[0].address : nil }
    }

    /// From sysfs.
    init(sysfs folder: String = "/sys/bus/pci/devices") {
        let all = GuestDevices.names(in: folder).map { address in
            func text(_ name: String) -> String {
                String(
                    decoding: LabFile.contents(of: "\(folder)/\(address)/\(name)", limit: 1 << 16) ?? [], as: UTF8.self)
            }
            func number(_ text: some StringProtocol) -> UInt64 {
                UInt64(text.drop { $0 == "0" }.dropFirst().prefix { $0.isHexDigit }, radix: 16) ?? 0
            }
            let identity = (number(text("vendor")) & 0xffff) << 16 | number(text("device")) & 0xffff
            // Start, end and flags of each.
            let bars = text("resource").split(separator: "\n").prefix(6).map { line in
                line.split(separator: " ").first.map { number($0) } ?? 0
            }
            return Function(address: address, identity: UInt32(truncatingIfNeeded: identity), bars: bars)
        }
        self.init(all)
    }

    /// A captured request with the names of requester and target; nil where one of them is unknown or ambiguous.
    func named(_ captured: CapturedTLP) -> TLP? {
        guard let requester = requesters[captured.requester] else { return nil }
        var request = captured.request
        (request.requesterAddress, request.requester) = requester
        if let target = captured.target {
            guard let function = targets[target.identity] else { return nil }
            request.target = TLP.Target(function: function, region: Int(target.region), offset: target.offset)
        }
        return request
    }
}
