/// The C type of a number that goes in: what of a record's numbers it can be.
public struct IntegerType: Sendable, Equatable {
    /// 1, 2, 4 or 8.
    let size: Int
    /// Whether it has negative values.
    public let isSigned: Bool

    /// The type of a C function's argument or a structure's member, as Swift imports it.
    init<Value: FixedWidthInteger>(_: Value.Type) {
        self.init(size: MemoryLayout<Value>.size, isSigned: Value.isSigned)
    }

    init(size: Int, isSigned: Bool) { (self.size, self.isSigned) = (size, isSigned) }

    static let address = IntegerType(UInt64.self)

    /// "int32_t"
    public var name: String { (isSigned ? "int" : "uint") + "\(size * 8)_t" }

    /// Whether a number is one of its values, sign-extended as ``Operation/Value`` has it. A signed one may also stand as its
    /// bits: in traces decimal digits have no sign, and 0x80000000 is how flags are written.
    public func holds(_ value: UInt64) -> Bool {
        let bits = UInt64(size * 8)
        return size == 8 || value >> bits == 0 || (isSigned && value >> (bits - 1) == .max >> (bits - 1))
    }

    /// Why what is called so cannot be `number`.
    public func misfit(_ name: String, _ number: some StringProtocol) -> String {
        "'\(name)' is of type \(self.name), which does not hold \(number)"
    }
}

extension Field {
    /// The type of the member.
    public var type: IntegerType { IntegerType(size: size, isSigned: signed) }
}
