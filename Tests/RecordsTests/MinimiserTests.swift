import CKernel
import Kernel
import SimKernel
import TestBench
import Testing

@testable import Records

private func answers(_ record: Record) -> [Answer] {
    let replay = Replay(on: SimKernel(.standard), isReal: false)
    return record.entries.compactMap { replay.answer($0, values: true) }
}

@Suite struct MinimiserTests {
    private func minimise(
        _ record: Record, _ expression: String?, knowsChecks: Bool = true
    ) throws -> (Record, Minimiser.Progress)? {
        guard
            var minimiser = Minimiser(
                record, until: try expression.map { try FailureExpression($0) }, knowsChecks: knowsChecks,
                answers: answers, isOver: { false }, report: { _ in })
        else { return nil }
        return (minimiser.run(), minimiser.progress)
    }

    @Test func onlyWhatTheFailureNeedsIsLeft() throws {
        let (smaller, _) = try #require(
            try minimise(standardRecord(), "operation == IOMMU_IOAS_UNMAP && errno == ENOENT"))
        // The iommufd, its space, and the refusal: a device, memory and the first unmap have no part in it.
        #expect(smaller.operations.map(\.operation.name) == ["open", "IOMMU_IOAS_ALLOC", "IOMMU_IOAS_UNMAP"])
        #expect(answers(smaller).last?.errno == "ENOENT")
    }

    @Test func withoutAnExpressionTheLastRefusalCounts() throws {
        let (smaller, _) = try #require(try minimise(standardRecord(), nil))
        #expect(smaller.operations.last?.operation.errno?.name == "ENOENT")
    }

    /// The standard record's last refusal, behind a failure of the script.
    private func failed(_ line: String) throws -> Record {
        var lines = try standardRecord().text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let last = try #require(lines.lastIndex { $0.contains("-1 ENOENT") })
        lines.insert(line, at: last)
        return try Record(parsing: lines.joined(separator: "\n"))
    }

    @Test func whatCleaningUpIsRefusedIsNotTheFailure() throws {
        #expect(try minimise(failed("#! failed: expected 2, found 1"), nil) == nil)
    }

    @Test func theRefusalThatFailedTheScriptIsTheFailure() throws {
        var lines = try standardRecord().text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let last = try #require(lines.lastIndex { $0.contains("-1 ENOENT") })
        lines.insert("#! failed IOMMU_IOAS_UNMAP ENOENT: nothing there", at: last + 1)
        let record = try Record(parsing: lines.joined(separator: "\n"))
        #expect(record.failures.map(\.failure.call?.errno) == ["ENOENT"])
        #expect(try Record(parsing: record.text).failures.map(\.failure) == record.failures.map(\.failure))
        let (smaller, _) = try #require(try minimise(record, nil))
        #expect(smaller.operations.last?.operation.name == "IOMMU_IOAS_UNMAP")
    }

    /// A failure of another kind does not stand in what shows a refusal.
    @Test(arguments: [
        ("#! failed: f.lua:5: expected 5, found 4", false), ("#! failed IOMMU_IOAS_ALLOC EBUSY: no", false),
        ("#! failed IOMMU_IOAS_UNMAP ENOENT: nothing there", true),
    ])
    func onlyTheFailureThatIsShownStays(_ line: String, _ stays: Bool) throws {
        let expression = "operation == IOMMU_IOAS_UNMAP && errno == ENOENT"
        let (smaller, _) = try #require(try minimise(failed(line), expression))
        #expect(smaller.failures.isEmpty != stays)
        #expect(smaller.isWhole && smaller.text.hasSuffix("#! end 3 operations\n"))
    }

    @Test func aDifferenceFromTheRecordIsAFailure() throws {
        let text = try standardRecord().text.split(separator: "-1 ENOENT (No such file or directory)")
            .joined(separator: "-1 EBUSY (Device or resource busy)")
        let (smaller, _) = try #require(try minimise(Record(parsing: text), "verdict == differs"))
        #expect(smaller.operations.count == 3)
    }

    /// An export of three ranges of a device's BAR, of which the last begins between pages.
    private func unaligned() throws -> Record {
        try recorded { kernel in
            let device = Int32(kernel.open("/dev/vfio/devices/vfio0", flags: 2))
            let iommufd = Int32(kernel.open("/dev/iommu", flags: 2))
            var bind = vfio_device_bind_iommufd(argsz: 24, flags: 0, iommufd: iommufd, out_devid: 0, token_uuid_ptr: 0)
            #expect(ask(kernel, device, VFIO_DEVICE_BIND_IOMMUFD, &bind) == 0)
            let ranges: [(UInt64, UInt64)] = [(0x10000, 0x20000), (0x80000, 0x2000), (4097, 4096)]
            var bytes: [UInt8] = []
            func put(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value) { bytes += $0 } }
            put(UInt32(24 + 16 * ranges.count))
            put(UInt32(VFIO_DEVICE_FEATURE_GET) | UInt32(VFIO_DEVICE_FEATURE_DMA_BUF))
            for word: UInt32 in [2, 0x80002, 0, UInt32(ranges.count)] { put(word) }
            for (offset, length) in ranges {
                put(offset)
                put(length)
            }
            let answer = bytes.withUnsafeMutableBytes { kernel.ioctl(device, UInt(VFIO_DEVICE_FEATURE), .memory($0)) }
            #expect(answer == -22)
        }
    }

    /// Ranges that do not meet, in a record of a refusal that has nothing to do with where they begin.
    @Test func rangesStayApartAndDescriptorsKeepTheirFlags() throws {
        var text = try unaligned().text.replacing("{offset=0x1001, ", with: "{offset=0x90000, ")
        text = text.replacing("region_index=2", with: "region_index=20")
        let (smaller, _) = try #require(
            try minimise(Record(parsing: text), "argument.nr_ranges == 3 && errno != none"))
        guard case .structure(let members)? = smaller.operations.last?.operation.arguments.last,
            case .list(let ranges)? = members.first(where: { $0.name == "dma_ranges" })?.value
        else { return #expect(Bool(false), "\(smaller.text)") }
        let places = ranges.compactMap { range -> (UInt64, UInt64)? in
            guard case .structure(let members) = range, case .number(let offset, _) = members[0].value,
                case .number(let length, _) = members[1].value
            else { return nil }
            return (offset, length)
        }.sorted { $0.0 < $1.0 }
        #expect(
            places.count == 3 && zip(places, places.dropFirst()).allSatisfy { $0.0 + max($0.1, 1) <= $1.0 },
            "\(last(smaller))")
        #expect(last(smaller).contains("open_flags=O_RDWR|O_CLOEXEC"))
        #expect(
            smaller.operations.first.map { Record.line($0.operation).contains("O_RDWR") } ?? false, "\(smaller.text)")
    }

    /// Each list of devices names the same ones: what needs them needs one list.
    @Test func aListOfDevicesThatIsNotNeededGoes() throws {
        let list = "ibv_get_device_list() = 0 {devices=[{name=\"a\", device=ibdev1}]}"
        let record = try Record(
            parsing: recordText(list, list, "ibv_open_device(device=ibdev1) = context1", "close(-1) = -1 EBADF"))
        let lines = record.operations.map { record.entries[$0.index].line }
        #expect(record.without([lines[0]]).operations.map(\.operation.name).count == 3)
        #expect(record.without([lines[1]]).operations.map(\.operation.name).count == 3)
        #expect(record.without([lines[0], lines[1]]).operations.map(\.operation.name) == ["close"])
    }

    /// Answers by the operation's name: an errno's name, and a check where one refused; nil of a call that is not there.
    private func minimised(
        _ text: String, _ answer: @escaping (String, Set<String>) -> (errno: String, check: String?)
    ) throws -> (lines: [String], failure: Answer)? {
        let record = try Record(parsing: text)
        let answers = { (record: Record) in
            let names = Set(record.operations.map(\.operation.name))
            return record.operations.map { index, operation in
                let (errno, check) = answer(operation.name, names)
                return Answer(
                    line: record.entries[index].line, operation: operation.name, errno: errno,
                    verdict: errno == (operation.errno?.name ?? "none") ? "same" : "differs", check: check)
            }
        }
        guard
            var minimiser = Minimiser(
                record, until: nil, knowsChecks: true, answers: answers, isOver: { false }, report: { _ in })
        else { return nil }
        let failure = minimiser.signature
        return (minimiser.run().operations.map { Record.line($0.operation) }, failure)
    }

    /// A call before the failing one that would be refused without another: the refusal could be why the last one fails.
    @Test func callsBeforeTheFailureAreAnsweredAsTheyWere() throws {
        let text = recordText("eventfd(0) = eventfd1", "poll(-1, 1) = 0", "nanosleep(5) = 0", "close(-1) = -1 EBADF")
        let (lines, failure) = try #require(
            try minimised(text) { name, there in
                switch name {
                case "poll": (there.contains("eventfd") ? "none" : "EINVAL", nil)
                case "close": there.contains("poll") ? ("EBADF", "a check") : ("none", nil)
                default: ("none", nil)
                }
            })
        #expect(failure.operation == "close")
        #expect(lines.map { $0.prefix { $0 != "(" } } == ["eventfd", "poll", "close"])
    }

    /// Without an expression it is the first answer that the script calls wrong. A success has no check that tells its reason:
    /// what led to it stays as it is.
    @Test func aWrongSuccessKeepsWhatLedToIt() throws {
        let text = recordText(
            "eventfd(7) = eventfd1", "memfd_create(\"m\", 0) = memfd1", "lseek(memfd1, 4096, 0) = 4096",
            "#! wrong \"0\", right \"EINVAL\": it", "lseek(memfd1, 8192, 0) = 8192",
            "#! wrong \"0\", right \"EPERM\": it",
            "close(-1) = -1 EBADF")
        let (lines, failure) = try #require(
            try minimised(text) { name, _ in name == "close" ? ("EBADF", "a check") : ("none", nil) })
        #expect(failure.line == 5 && failure.errno == "none")
        #expect(lines.count == 2 && lines.last?.hasPrefix("lseek(memfd1, 4096, 0)") ?? false, "\(lines)")
    }

    /// What should have been refused: the write that makes it wrong stays, though the answer is the same without it.
    @Test func aWrongSuccessKeepsWhatChangedItsObjects() throws {
        let text = recordText(
            "open(\"/dev/vfio/devices/vfio0\", 2) = device1", "pwrite(device1, <00 00>, 2, 0x70000000004) = 2",
            "pread(device1, <00 00>, 2, 0x70000000004) = 2", "ioctl(device1, VFIO_DEVICE_RESET, 0) = 0",
            "#! wrong \"success\", right \"ENODEV\":")
        let (lines, failure) = try #require(try minimised(text) { _, _ in ("none", nil) })
        #expect(failure.operation == "VFIO_DEVICE_RESET")
        #expect(lines.count == 3 && lines.dropFirst().first?.hasPrefix("pwrite(device1, <00 00>") ?? false, "\(lines)")
    }

    private static let refused = "close(-1) = -1 EBADF"

    /// What a mark says is preferred to other refusals and differences. One that no call's answer tells has no other stand in.
    @Test(
        arguments: [
            (["#! wrong \"4, 8\", right \"4\": pages", refused], nil),
            (["#! wrong \"0x34 target\", right \"none\": the tag", "poll(-1, 1) = -1 EINVAL"], nil),
            (["lseek(-1, 0, 0) = -1 ESPIPE", "#! wrong \"ESPIPE\", right \"EBADF\": it", refused], "lseek"),
            (["lseek(-1, 0, 0) = -1 ESPIPE", "#! wrong \"ESPIPE\", right \"EBADF\": it", "poll(-1, 1) = 0"], "lseek"),
            (["poll(-1, 1) = 0"], "poll"), ([refused], "close"),
            (["# a case", refused], nil), (["#! scenario about: it", refused], nil),
        ] as [([String], String?)])
    func aMarkIsPreferred(_ lines: [String], _ failing: String?) throws {
        let text =
            "peerlab record 1\n\neventfd(0) = eventfd1 <0.000001>\n"
            + lines.map { $0.hasPrefix("#") ? $0 + "\n" : $0 + " <0.000001>\n" }.joined()
        let found = try minimised(text) { name, _ in
            // Asked again, poll differs from what is recorded.
            ([("lseek", "ESPIPE"), ("poll", "EINTR"), ("close", "EBADF")].first { $0.0 == name }?.1 ?? "none", nil)
        }
        #expect(found?.failure.operation == failing)
    }

    /// "12288 bytes" are what the ranges have that were asked for. Where the right answer is an errno, they may shrink.
    @Test(arguments: [("12288 bytes mapped", true), ("ENOSPC", false)])
    func whatARightAnswerTellsOfStays(_ right: String, _ stays: Bool) throws {
        let text = try unaligned().text + "#! wrong \"EINVAL\", right \"\(right)\": the export\n"
        let record = try Record(parsing: text)
        let (smaller, _) = try #require(try minimise(record, nil))
        let asked = try #require(record.operations.last { $0.operation.errno != nil })
        #expect((last(smaller) == Record.line(asked.operation)) == stays, "\(last(smaller))")
        #expect(smaller.decisions.map(\.judgement.right) == [right])
    }

    /// Ranges of separate calls do not come to lie on one another, where they did not.
    @Test func rangesOfSeparateCallsStayApart() throws {
        func map(_ space: Int, _ place: String, _ iova: Int) -> String {
            "ioctl(iommufd1, IOMMU_IOAS_MAP, {size=40, flags=FIXED_IOVA|READABLE, ioas_id=ioas\(space), user_va=\(place), "
                + "length=0x1000, iova=\(iova)}) = 0"
        }
        let record = try Record(parsing: recordText(map(1, "map1", 0x10000), map(2, "map1+0x4000", 0x20000)))
        let (index, old) = record.operations[1]
        for (place, iova, meets) in [
            ("map1+0x4000", 0x8000, false), ("map1+0x4000", 0x10000, true), ("map1+0x4000", 0x10fff, true),
            ("map1+0x1000", 0x20000, false), ("map1", 0x20000, true), ("map2", 0x20000, false),
        ] {
            let new = try Record(parsing: recordText(map(2, place, iova))).operations[0].operation
            #expect(record.meets(new, insteadOf: old, at: index) == meets, "\(place) \(iova)")
        }
        // They met before.
        let met = try Record(parsing: recordText(map(1, "map1", 0x10000), map(2, "map1", 0x10000)))
        let new = try Record(parsing: recordText(map(2, "map1", 0x10800))).operations[0].operation
        #expect(!met.meets(new, insteadOf: met.operations[1].operation, at: met.operations[1].index))
    }

    /// A completion needs its queue pair, that of the peer, the work that was posted to both, and what that names.
    @Test func workThatWasPostedIsNeeded() throws {
        let list = "ibv_get_device_list() = 0 {devices=[{name=\"rxe0\", device=ibdev1}]}"
        func pair(_ number: Int) -> String {
            "ibv_create_qp(pd=pd1, qp_type=RC, send_cq=cq1, recv_cq=cq1, srq=0, sq_sig_all=0, max_send_wr=1, max_recv_wr=1, "
                + "max_send_sge=1, max_recv_sge=1, max_inline_data=0) = qp\(number) {qp_num=qp\(number).qp_num}"
        }
        let record = try Record(
            parsing: recordText(
                list, list, "ibv_open_device(device=ibdev1) = context1", "ibv_query_port(context=context1, port=1) = 0",
                "ibv_alloc_pd(context=context1) = pd1", "mmap(0x10000, 3, 0x22, -1, 0) = map1",
                "ibv_reg_mr(pd=pd1, addr=map1, length=0x10000, access=LOCAL_WRITE) = mr1 {lkey=mr1.lkey, rkey=mr1.rkey}",
                "ibv_create_cq(context=context1, cqe=16, channel=0) = cq1", pair(1), pair(2), pair(3),
                "ibv_modify_qp(qp=qp1, attr={qp_state=RTR, dest_qp_num=qp2.qp_num}, attr_mask=STATE|DEST_QPN) = 0",
                "ibv_modify_qp(qp=qp2, attr={qp_state=RTR, dest_qp_num=qp1.qp_num}, attr_mask=STATE|DEST_QPN) = 0",
                "ibv_alloc_mw(pd=pd1, type=TYPE_2) = mw1 {rkey=mw1.rkey}",
                "ibv_post_send(qp=qp2, wr=[{wr_id=0, opcode=BIND_MW, send_flags=SIGNALED, mw=mw1, rkey=mw1.rkey+0x1, mr=mr1, "
                    + "addr=map1, length=0x1000, mw_access_flags=REMOTE_READ, sg_list=[]}]) = 0",
                "ibv_post_send(qp=qp1, wr=[{wr_id=0, opcode=RDMA_READ, send_flags=SIGNALED, remote_addr=map1, "
                    + "rkey=mw1.rkey+0x1, sg_list=[{addr=map1, length=0x40, lkey=mr1.lkey}]}]) = 0",
                "ibv_poll_cq(cq=cq1, num_entries=1) = 1 {wc=[{wr_id=0, status=SUCCESS, qp_num=qp1.qp_num}]}"))
        let lines = record.operations.map { record.entries[$0.index].line }
        let needed = record.needs(of: try #require(lines.last)).readies
        // The first list, the port and the third queue pair have no part in it.
        #expect(lines.indices.filter { !needed.contains(lines[$0]) } == [0, 3, 10])
        #expect(record.numbersOfNeeded(by: try #require(record.operations.last?.index)).count == lines.count - 3)
    }

    /// What a script says of the answer that is shown stays, and so does what the scenario says of itself.
    @Test func whatIsWrongWithTheFailureStays() throws {
        var lines = try standardRecord().text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let last = try #require(lines.lastIndex { $0.contains("-1 ENOENT") })
        lines.insert("#! wrong \"ENOENT\", right \"success\": the unmap", at: last + 1)
        let other = try #require(lines.firstIndex { $0.contains(" = ") })
        lines.insert("#! wrong \"0\", right \"EINVAL\": another", at: other + 1)
        lines.insert("#! scenario expected: it is unmapped", at: other)
        let record = try Record(parsing: lines.joined(separator: "\n"))
        let (smaller, _) = try #require(try minimise(record, "errno == ENOENT"))
        #expect(smaller.decisions.map(\.judgement.what) == ["the unmap"])
        #expect(smaller.decisions.first?.operation == smaller.operations.last?.index)
        #expect(try Record(parsing: smaller.text).scenario("expected") == "it is unmapped")
    }

    /// What a record asks with its last operation, as text.
    private func last(_ record: Record) -> String { record.operations.last.map { Record.line($0.operation) } ?? "" }

    @Test func theReasonStaysTheSame() throws {
        let (smaller, _) = try #require(try minimise(unaligned(), "errno == EINVAL"))
        // Only an offset between pages: neither no ranges at all, nor an empty one, which are EINVAL too.
        // The other two ranges decide nothing.
        #expect(last(smaller).contains("argsz=40,") && last(smaller).contains("nr_ranges=1,"))
        #expect(last(smaller).contains("dma_ranges=[{offset=1, length="))
        #expect(!last(smaller).contains("length=0}"))
    }

    @Test func withoutChecksTheRequestKeepsItsArguments() throws {
        let record = try unaligned()
        let (smaller, _) = try #require(try minimise(record, "errno == EINVAL", knowsChecks: false))
        let asked = try #require(record.operations.last { $0.operation.errno != nil })
        #expect(last(smaller) == Record.line(asked.operation))
        // Without its iommufd a device answers EINVAL to everything.
        #expect(smaller.operations.map(\.operation.name).contains("VFIO_DEVICE_BIND_IOMMUFD"))
    }

    @Test func anExpressionHoldsArguments() throws {
        let expression = "operation == IOMMU_IOAS_UNMAP && errno == ENOENT && argument.length == 4096"
        let (smaller, _) = try #require(try minimise(standardRecord(), expression))
        #expect(last(smaller).contains("length=0x1000"))
        #expect(try minimise(standardRecord(), "argument.length == 4097") == nil)
        #expect(try minimise(standardRecord(), "output.out_ioas_id == ioas1 && argument.flags == 0") != nil)
    }

    @Test func whatNeverFailsIsNotMinimised() throws {
        #expect(try minimise(standardRecord(), "errno == EADDRINUSE") == nil)
    }

    @Test(arguments: [
        ("errno == EINVAL", true), ("errno != EINVAL", false), ("!(errno == ENOENT) && line == 7", true),
        ("argument.dma_ranges.1.offset == 4096", true), ("output.result != 5", false), ("argument.none == 0", false),
        ("operation == 'ibv_reg_mr' || verdict == same", true), ("operation==IOMMU_IOAS_MAP&&verdict==differs", false),
    ])
    func expressionsAskOfAnswers(_ text: String, _ holds: Bool) throws {
        let answer = Answer(
            line: 7, operation: "IOMMU_IOAS_MAP", errno: "EINVAL", verdict: "same",
            values: ["argument.dma_ranges.1.offset": ["0x1000", "4096"], "output.result": ["5"]])
        #expect(try FailureExpression(text).matches(answer) == holds)
    }

    @Test(arguments: ["", "errno", "errno ==", "frog == 1", "(errno == EINVAL", "errno == EINVAL )", "errno = EINVAL"])
    func otherTextIsNoExpression(_ text: String) {
        #expect(throws: RecordError.self) { try FailureExpression(text) }
    }

    /// A chain is a tree as deep as it is long.
    @Test(arguments: ["&&", "||"])
    func aChainIsOfLimitedLength(_ joint: String) {
        let text = [String](repeating: "line == 1", count: 100_000).joined(separator: " \(joint) ")
        let error = #expect(throws: RecordError.self) { try FailureExpression(text) }
        #expect(error?.text == "in the expression: it has more than 1000 comparisons")
    }
}
