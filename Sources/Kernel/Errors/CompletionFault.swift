import CKernel

/// What shall befall work requests of a simulated NIC's reliable connections (`bench.inject`): a completion that fails, or
/// tries that the transport repeats.
public struct CompletionFault: Sendable {
    /// What happens to a request.
    public enum Kind: Sendable, Equatable {
        /// It ends with this status, and nothing of it is carried out.
        case ends(UInt32)
        /// So many tries are lost on the way. Each costs the local ACK timeout; more than retry_cnt of them end it with
        /// IBV_WC_RETRY_EXC_ERR.
        case lost(Int)
        /// The responder answers so many tries with an RNR NAK. Each costs its timer; more than rnr_retry of them, where
        /// that is not 7, end it with IBV_WC_RNR_RETRY_EXC_ERR.
        case notReady(Int)
    }
    private let kind: Kind
    private let first: Int
    private let step: Int
    private var count = 0
    private var used = 0

    /// Failures that a request may end with, by their names without prefix.
    public static let statuses: [(name: String, status: UInt32)] = [
        ("LOC_LEN_ERR", IBV_WC_LOC_LEN_ERR.rawValue), ("LOC_QP_OP_ERR", IBV_WC_LOC_QP_OP_ERR.rawValue),
        ("LOC_PROT_ERR", IBV_WC_LOC_PROT_ERR.rawValue), ("BAD_RESP_ERR", IBV_WC_BAD_RESP_ERR.rawValue),
        ("REM_INV_REQ_ERR", IBV_WC_REM_INV_REQ_ERR.rawValue), ("REM_ACCESS_ERR", IBV_WC_REM_ACCESS_ERR.rawValue),
        ("REM_OP_ERR", IBV_WC_REM_OP_ERR.rawValue), ("RETRY_EXC_ERR", IBV_WC_RETRY_EXC_ERR.rawValue),
        ("RNR_RETRY_EXC_ERR", IBV_WC_RNR_RETRY_EXC_ERR.rawValue), ("FATAL_ERR", IBV_WC_FATAL_ERR.rawValue),
        ("GENERAL_ERR", IBV_WC_GENERAL_ERR.rawValue),
    ]

    /// `when`: as of ``FaultPlan/add(_:_:when:)``, counted over work requests from now on.
    public init(_ kind: Kind, when: String) throws(FaultPlan.RuleError) {
        self.kind = kind
        (first, step) = try FaultPlan.turns(when)
    }

    /// Counts a request; tells what befalls it.
    public mutating func next() -> Kind? {
        count += 1
        guard FaultPlan.isTurn(count, first, step) else { return nil }
        used += 1
        return kind
    }

    /// That no request was met, in words; nil where one was.
    public var unused: String? {
        guard used == 0 else { return nil }
        let name =
            switch kind {
            case .ends(let status): CompletionFault.statuses.first { $0.status == status }?.name ?? "\(status)"
            case .lost: "lost tries"
            case .notReady: "tries without a receive request"
            }
        return "\(name) at work request \(first), of which there \(count == 1 ? "was 1" : "were \(count)")"
    }
}
