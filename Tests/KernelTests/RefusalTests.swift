import Kernel
import Testing

/// The table of requests and their refusals: every errno of every operation says why it comes and what to do.
@Suite struct RefusalTests {
    /// Errnos that mean something of each operation's own, so that no text can stand for all.
    private static let own: Set = [
        "EINVAL", "EBUSY", "ENOENT", "ENODEV", "EOPNOTSUPP", "EPERM", "EACCES", "ENOSPC", "ENXIO", "EEXIST",
    ]

    @Test(arguments: Refusal.operations)
    func everyRefusalHasAHint(_ operation: String) throws {
        let refusals = Refusal.all(of: operation)
        #expect(!refusals.isEmpty)
        for refusal in refusals {
            #expect(!refusal.hint.isEmpty, "\(operation): \(refusal.name) has no hint")
            let errno = try #require(Errno(name: refusal.name), "\(refusal.name) is no errno")
            // What a script is shown.
            #expect(Failure(operation, errno, object: "/dev/it").hint == refusal.hint)
        }
        #expect(Set(refusals.map(\.name)).count == refusals.count, "\(operation) names an errno twice")
    }

    /// What the library, RDMA netlink and the functions beside them answer (rdma-core: libibverbs/{dummy_ops,verbs}.c,
    /// providers/mlx5/verbs.c; drivers/infiniband/core/{netlink,nldev}.c) has a reason of the verb's own.
    @Test(arguments: [
        ("frmr_pools", ["EOPNOTSUPP", "ENODATA", "EPROTO", "EPROTONOSUPPORT", "ENODEV", "EPERM"]),
        ("mkey_context", ["EOPNOTSUPP", "ENODATA", "EPROTO", "EPROTONOSUPPORT", "ENODEV", "EPERM", "ENOENT"]),
        ("mlx5dv_reg_dmabuf_mr", ["ENOSYS", "EOPNOTSUPP"]),
        ("ibv_reg_mr_ex", ["EOPNOTSUPP", "EPROTONOSUPPORT"]),
        ("ibv_alloc_dmah", ["EOPNOTSUPP", "EPROTONOSUPPORT"]),
        ("ibv_get_cq_event", ["ETIMEDOUT"]), ("ibv_get_async_event", ["ETIMEDOUT"]),
    ])
    func saysWhyTheLibraryRefuses(_ verb: String, _ errnos: [String]) {
        let known = Refusal.all(of: verb).map(\.name)
        #expect(known.filter(errnos.contains).sorted() == errnos.sorted())
    }

    /// ibv_query_qp_data_in_order(3) answers no instead.
    @Test func everyOtherVerbCanBeRefused() {
        #expect(Verbs.all.filter { $0.refusals.isEmpty }.map(\.signature.name) == ["ibv_query_qp_data_in_order"])
    }

    @Test func everyFeatureOfVFIOHasHints() {
        for refusal in Refusal.all(of: "VFIO_DEVICE_FEATURE LOW_POWER_ENTRY SET") { #expect(!refusal.hint.isEmpty) }
    }

    /// A text that stands under many operations says of none what happened.
    @Test func whatDependsOnTheOperationIsSaidOfIt() {
        var users: [String: Set<String>] = [:]
        for operation in Refusal.operations {
            for refusal in Refusal.all(of: operation) where RefusalTests.own.contains(refusal.name) {
                users["\(refusal.name): \(refusal.hint)", default: []].insert(operation)
            }
        }
        // Requests of one subsystem whose structures are checked alike.
        for (text, operations) in users where operations.count > 4 {
            let isFrame =
                text.contains("the structure's size is too small") || text.contains("no object of that id")
                || text.contains("does not know a flag, option or type") || text.contains("knows the object no more")
                || text.contains("or as the file's owner") || text.contains("the importing device is gone")
            #expect(isFrame, "\(operations.count) operations say \(text)")
        }
    }

    @Test func causesThatApplyComeAlone() {
        var causes = Causes()
        causes.decide(false, "the length is 0", else: "the length is not 0")
        causes.decide(true, "offset and iova differ", else: "they agree")
        causes.leave("there is no route")
        #expect(causes.hint == "offset and iova differ")
    }

    @Test func causesThatRemainComeAfterWhatIsInOrder() {
        var causes = Causes()
        causes.decide(false, "the length is 0", else: "the length is not 0")
        causes.leave("there is no route")
        causes.leave("the firmware is old")
        #expect(causes.hint == "the length is not 0, so what remains is: there is no route, or the firmware is old")
    }
}
