import Kernel
import Testing

@testable import Records

/// Pointers that a record may give: those into this process are checked by name, so that each name must be known.
@Suite struct PointerNameTests {
    /// Addresses that devices use.
    private static let ofDevices: Set = ["iova", "remote_addr", "start_addr", "src_iova", "dst_iova"]

    private static func isPointer(_ format: Format) -> Bool { if case .pointer = format { true } else { false } }

    private static var names: Set<String> {
        let structures = Request.all.compactMap { request -> Layout? in
            if case .structure(let layout) = request.argument { layout } else { nil }
        }
        let features = Feature.released.compactMap(\.layout)
        let fields = (structures + features).flatMap { $0.fields + $0.trailing.flatMap(\.fields) }
        let members = Signature.all.values.flatMap { $0.members.filter { !$0.key.contains(".") }.values }
        let parameters = Signature.all.values.flatMap { $0.parameters.map { ($0.name, $0.format) } }
        let all = fields.map { ($0.name, $0.format) } + members.map { ($0.name, $0.format) } + parameters
        return Set(all.filter { isPointer($0.1) }.map(\.0))
    }

    @Test func everyPointerIsAnAddressOfThisProcessOrOfDevices() {
        #expect(Self.names.contains("user_va") && Self.names.contains("addr") && Self.names.contains("bitmap"))
        let unknown = Self.names.filter { !OperationInput.isAddress($0, .pointer) && !Self.ofDevices.contains($0) }
        #expect(unknown.isEmpty, "\(unknown.sorted())")
    }
}
