public import Kernel

/// A steering tag of the 8-bit namespace, as a device that is no extended TPH requester or completer uses it. The same
/// number as an ``ExtendedSteeringTag`` is another tag. Source: PCIe base specification, TLP processing hints.
public struct SteeringTag: RawRepresentable, Hashable, Sendable {
    /// 0 to 255.
    public let rawValue: UInt8
    /// The tag with that number.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
}

/// A steering tag of the 16-bit namespace of extended TPH. See ``SteeringTag``.
public struct ExtendedSteeringTag: RawRepresentable, Hashable, Sendable {
    /// 0 to 65535.
    public let rawValue: UInt16
    /// The tag with that number.
    public init(rawValue: UInt16) { self.rawValue = rawValue }
}

/// The hint that importers put into requests to a dma-buf, as its exporter wants. The tags belong to two namespaces and
/// may differ; an importer asks for the one its own mode needs and gets no other.
public struct TPHHint: Hashable, Sendable {
    /// For importers in 8-bit mode; nil to give them nothing.
    public var st: SteeringTag?
    /// For importers in extended mode; nil to give them nothing.
    public var stExt: ExtendedSteeringTag?
    /// Goes with either tag.
    public var ph: ProcessingHint

    /// A hint with one tag or both; none at all is refused when it is encoded.
    public init(st: SteeringTag? = nil, stExt: ExtendedSteeringTag? = nil, ph: ProcessingHint) {
        self.st = st
        self.stExt = stExt
        self.ph = ph
    }
}
