/// Descriptors in a request's bytes, as far as the request is known.
extension Request {
    /// Input or output descriptors in the structure of any known request with that number.
    public static func descriptors(
        _ number: UInt, in bytes: UnsafeRawBufferPointer, _ direction: Field.Direction
    ) -> [Int32] {
        guard withDescriptors.contains(number) else { return [] }
        return all.filter { $0.number == number }.flatMap { request -> [Int32] in
            guard let layout = Decoder().layout(request, bytes) else { return [] }
            return layout.descriptors(in: bytes, direction)
        }
    }

    /// Whether the kernel may return descriptors in the structure or as the result; true for an unknown number.
    public static func givesDescriptors(_ number: UInt) -> Bool { !known.contains(number) || giving.contains(number) }

    /// Whether there is a row of that number.
    public static func isKnown(_ number: UInt) -> Bool { known.contains(number) }

    private static let known = Set(all.map(\.number))
    private static let withDescriptors = Set(
        all.filter {
            switch $0.argument {
            case .feature: true
            case .structure(let layout): layout.hasDescriptors
            default: false
            }
        }.map(\.number))
    private static let giving = Set(
        all.filter {
            switch ($0.result, $0.argument) {
            case (.descriptor, _), (.feature, _): true
            case (_, .structure(let layout)): layout.fields.contains { $0.isDescriptor && $0.direction != .input }
            default: false
            }
        }.map(\.number))
}

extension Field {
    fileprivate var isDescriptor: Bool { if case .descriptor = format { true } else { false } }
}

extension Layout {
    fileprivate var hasDescriptors: Bool {
        fields.contains(where: \.isDescriptor) || trailing.contains { $0.fields.contains(where: \.isDescriptor) }
    }

    fileprivate func descriptors(in bytes: UnsafeRawBufferPointer, _ direction: Field.Direction) -> [Int32] {
        func values(_ fields: [Field], _ bytes: UnsafeRawBufferPointer) -> [Int32] {
            fields.filter { $0.isDescriptor && ($0.direction == direction || $0.direction == .both) }
                .compactMap { $0.value(in: bytes).map { Int32(truncatingIfNeeded: $0) } }
        }
        return values(fields, bytes)
            + trailing.filter { $0.fields.contains(where: \.isDescriptor) }.flatMap { trailing in
                // Limited by the bytes given: the count in them is the script's.
                stride(from: size, through: bytes.count - trailing.elementSize, by: trailing.elementSize).flatMap {
                    values(trailing.fields, UnsafeRawBufferPointer(rebasing: bytes[$0..<($0 + trailing.elementSize)]))
                }
            }
    }
}
