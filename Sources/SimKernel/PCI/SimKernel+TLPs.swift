import Glibc
public import Kernel

/// What a request carries besides its address and length.
struct TLPAttributes {
    var hint: TLP.Hint?
    /// Relaxed ordering.
    var isRelaxed: Bool

    static let none = TLPAttributes(hint: nil, isRelaxed: false)
}

/// Where a request goes, as its completer is addressed.
enum TLPTarget {
    case bar(BARAddress)
    case hostMemory(UInt64)
}

/// The log of what functions send. See ``Kernel``.
extension SimKernel {
    /// DevCtl's power-on values: payload, read request.
    private static let payload = 128
    private static let readRequest = 512

    /// See ``Kernel/tlps``.
    public var tlps: TLPLog? { wire }

    /// See ``Kernel/clearTLPs()``.
    @discardableResult
    public func clearTLPs() -> Bool {
        wire.clear()
        return true
    }

    /// Called for every TLP as it is sent, also when the log is full.
    public var tlpSink: (@Sendable (TLP) -> Void)? {
        get { wire.sink }
        set { wire.sink = newValue }
    }

    /// An access of a function as the requests it makes, whatever comes of them: none crosses a multiple of the largest
    /// size.
    func record(
        _ target: TLPTarget, _ length: Int, isWrite: Bool, by requester: PCIFunction,
        _ attributes: TLPAttributes = .none
    ) {
        var part = TLP(
            isWrite: isWrite, requester: TLP.requester(requester.device.address), address: 0, length: 0,
            hint: attributes.hint)
        part.isRelaxed = attributes.isRelaxed
        part.requesterAddress = requester.device.address
        part.time = now
        part.mode = topology.linkMode
        switch target {
        case .hostMemory(let address): part.address = address
        case .bar(let target):
            guard let base = target.device.function.addresses[target.index] else { return }
            part.address = base &+ target.offset
            part.target = TLP.Target(
                function: target.device.function.device.address, region: target.index, offset: target.offset)
        }
        part.length = length
        part.forEachPart(upTo: isWrite ? SimKernel.payload : SimKernel.readRequest) { wire.append($0) }
    }
}
