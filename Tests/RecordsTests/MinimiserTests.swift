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
