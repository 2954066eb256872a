import Kernel

/// Arguments with numbers for names.
struct ReplayArguments {
    let values: [Operation.Value]

    init(_ values: [Operation.Value]) { self.values = values }

    subscript(_ index: Int) -> UInt64 {
        if values.indices.contains(index), case .number(let number, _) = values[index] { number } else { 0 }
    }

    func int32(_ index: Int) -> Int32 { Int32(truncatingIfNeeded: self[index]) }

    func text(_ index: Int) -> String {
        if case .text(let text) = values[index] { text } else { "" }
    }

    func bytes(_ index: Int) -> [UInt8] {
        if case .bytes(let bytes) = values[index] { bytes } else { [] }
    }

    func object<Object>(_ index: Int) -> UnsafeMutablePointer<Object>? {
        UnsafeMutablePointer(bitPattern: UInt(self[index]))
    }
}
