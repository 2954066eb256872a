import Kernel

/// Arguments with numbers for names.
struct ReplayArguments {
    let values: [Operation.Value]
    private let signature: Signature

    init(_ values: [Operation.Value], _ signature: Signature) {
        self.values = values
        self.signature = signature
    }

    subscript(_ index: Int) -> UInt64 {
        if values.indices.contains(index), case .number(let number, _) = values[index] { number } else { 0 }
    }

    subscript(_ name: String) -> UInt64 {
        signature.parameters.firstIndex { $0.name == name }.map { self[$0] } ?? 0
    }

    func int32(_ index: Int) -> Int32 { Int32(truncatingIfNeeded: self[index]) }
    func uint32(_ name: String) -> UInt32 { UInt32(truncatingIfNeeded: self[name]) }

    func text(_ index: Int) -> String {
        if case .text(let text) = values[index] { text } else { "" }
    }

    func bytes(_ index: Int) -> [UInt8] {
        if case .bytes(let bytes) = values[index] { bytes } else { [] }
    }

    func object<Object>(_ index: Int) -> UnsafeMutablePointer<Object>? {
        UnsafeMutablePointer(bitPattern: UInt(self[index]))
    }

    func object<Object>(_ name: String) -> UnsafeMutablePointer<Object>? {
        UnsafeMutablePointer(bitPattern: UInt(self[name]))
    }

    /// The members of a structure.
    func members(_ index: Int) -> [Operation.Member] {
        if case .structure(let members) = values[index] { members } else { [] }
    }

    /// The structures of a list.
    func list(_ index: Int) -> [[Operation.Member]] {
        guard case .list(let values) = values[index] else { return [] }
        return values.map { if case .structure(let members) = $0 { members } else { [] } }
    }
}
