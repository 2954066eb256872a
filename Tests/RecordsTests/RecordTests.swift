import CKernel
import Kernel
import SimKernel
import Synchronization
import TestBench
import Testing

@testable import Records

/// What a program asks: a device, an iommufd, an export, host memory mapped for DMA, and one refusal.
private func program(_ kernel: any Kernel) throws {
    let device = Int32(kernel.open("/dev/vfio/devices/vfio0", flags: 2))
    let iommufd = Int32(kernel.open("/dev/iommu", flags: 2))
    var bind = vfio_device_bind_iommufd(argsz: 24, flags: 0, iommufd: iommufd, out_devid: 0, token_uuid_ptr: 0)
    #expect(ask(kernel, device, VFIO_DEVICE_BIND_IOMMUFD, &bind) == 0)
    var space = iommu_ioas_alloc(size: 12, flags: 0, out_ioas_id: 0)
    #expect(ask(kernel, iommufd, IOMMU_IOAS_ALLOC, &space) == 0)
    let memory = try kernel.mmap(length: 8192, protection: 3, flags: 0x22, -1, at: 0)
    var map = iommu_ioas_map(
        size: 40, flags: 6, ioas_id: space.out_ioas_id, reserved: 0, user_va: UInt64(UInt(bitPattern: memory)) + 4096,
        length: 4096, iova: 0)
    #expect(ask(kernel, iommufd, IOMMU_IOAS_MAP, &map) == 0)
    var unmap = iommu_ioas_unmap(size: 24, ioas_id: space.out_ioas_id, iova: map.iova, length: 4096)
    #expect(ask(kernel, iommufd, IOMMU_IOAS_UNMAP, &unmap) == 0)
    #expect(ask(kernel, iommufd, IOMMU_IOAS_UNMAP, &unmap) == -2)
    _ = kernel.munmap(memory, length: 8192)
    _ = kernel.close(device)
    _ = kernel.close(iommufd)
}

func ask<Structure>(
    _ kernel: any Kernel, _ descriptor: Int32, _ number: Int, _ structure: inout Structure
) -> Int {
    withUnsafeMutableBytes(of: &structure) { kernel.ioctl(descriptor, UInt(number), .memory($0)) }
}

/// The record of ``program(_:)`` on the standard bench.
func standardRecord() throws -> Record { try recorded(program) }

/// The record of a program on the standard bench.
func recorded(_ program: (any Kernel) throws -> Void) throws -> Record {
    let lines = Mutex<[String]>([])
    let recorder = Recorder(header: [(key: "model", value: "sim:standard")]) { line in
        lines.withLock { $0.append(line) }
    }
    let kernel = TracingKernel(SimKernel(.standard))
    recorder.watch(kernel)
    try program(kernel)
    recorder.finish()
    return try Record(parsing: lines.withLock { $0.joined(separator: "\n") } + "\n")
}

private func differences(_ record: Record) throws -> [Replay.Difference] {
    let replay = Replay(on: SimKernel(.standard), isReal: false)
    return try record.entries.compactMap { try replay.step($0) }
}

@Suite struct RecordTests {
    @Test func numbersOfOneProcessHaveNames() throws {
        let text = try standardRecord().text
        #expect(text.contains("VFIO_DEVICE_BIND_IOMMUFD, {argsz=24, flags=0, iommufd=iommufd1, token_uuid_ptr=0}"))
        #expect(text.contains("ioas_id=ioas1, user_va=map1+0x1000, length=0x1000, iova=0} => {iova=iova1}"))
        #expect(text.contains("{size=24, ioas_id=ioas1, iova=iova1, length=0x1000}) = -1 ENOENT"))
    }

    /// No more completions are taken than are asked for, whatever a record says.
    @Test(arguments: [(0, "0"), (1, "1")])
    func asManyCompletionsAreTakenAsAreAskedFor(_ asked: Int, _ taken: String) throws {
        let poll = "ibv_poll_cq(cq=cq1, num_entries=\(asked)) = 1 {wc=[{wr_id=1, status=SUCCESS}]}"
        let record = try Record(
            parsing: HostileNumberTests.text.replacing("ibv_poll_cq(cq=cq1, num_entries=1) = 0", with: poll))
        let replay = Replay(on: SimKernel(.standard), isReal: false)
        let answers = record.entries.compactMap { replay.answer($0, values: true) }
        let answer = try #require(answers.last { $0.operation == "ibv_poll_cq" })
        #expect(answer.values?["output.result"]?.contains(taken) ?? false, "\(answer)")
    }

    @Test func aRecordReadIsTheRecordWritten() throws {
        let record = try standardRecord()
        #expect(try Record(parsing: record.text).text == record.text)
    }

    @Test func aNumeralThatIsANameIsNotTakenForANumber() throws {
        let line = "ibv_modify_qp(qp=qp1, attr={qp_state=RTR, path_mtu=1024}, attr_mask=STATE|PATH_MTU) = 0 <0.000001>"
        let record = try Record(parsing: "peerlab record 1\n\n\(line)\n")
        #expect(record.text.hasSuffix("\n\(line)\n"))
        guard case .structure(let members)? = record.operations.first?.operation.arguments[1],
            case .number(let mtu, _)? = members.first(where: { $0.name == "path_mtu" })?.value
        else {
            Issue.record("it was read otherwise")
            return
        }
        #expect(mtu == 3)
    }

    @Test func theSameKernelAnswersTheSame() throws { #expect(try differences(standardRecord()).isEmpty) }

    @Test func anAnswerChangedByHandIsFoundAtItsLine() throws {
        let text = try standardRecord().text
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        for (changed, original) in [
            ("-1 EBUSY", "-1 ENOENT (No such file or directory)"), ("{length=0x2000}", "{length=0x1000}"),
            ("= 1 <", "= 0 <"),
        ] {
            let place = try #require(lines.firstIndex { $0.contains(original) })
            var copy = lines.map(String.init)
            let parts = copy[place].split(separator: original, maxSplits: 1, omittingEmptySubsequences: false)
            copy[place] = parts.joined(separator: changed)
            let found = try differences(Record(parsing: copy.joined(separator: "\n")))
            #expect(found.map(\.line) == [place + 1], "\(original)")
        }
    }

    @Test(arguments: [
        ("open(\"/dev/x\", 2) = 3", "line 3: no operation"), ("ioctl(device1)", "takes 3 arguments"),
        ("close(frog) = 0", "is no number"), ("close(1) = 0 what", "what"),
        ("pread(1, <0>, 1, 0) = 1", "two digits"), ("pread(1, <00*99999999999>, 1, 0) = 1", "too many"),
        ("ioctl(1, IOMMU_DESTROY, {size={{{{{{{{{1}}}}}}}}}}) = 0", "missing"), ("close(1) = -1 EFROG", "no error"),
        ("feature X number=70000 size=8", "a feature is"), ("feature X number=13 size=8 st=7:4", "no place"),
    ])
    func whatIsNoRecordIsRefused(_ line: String, _ message: String) {
        let name = line.hasPrefix("open") ? line.replacingCharacters(with: "frog") : line
        let error = #expect(throws: RecordError.self) { try Record(parsing: "peerlab record 1\n\n\(name)\n") }
        #expect(error?.text.contains(message) == true, "\(error?.text ?? "nothing")")
        #expect(error?.line == 3)
    }

    @Test func addressesOfTheRecordedProgramAreNotUsed() throws {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 8192, alignment: 4096)
        defer { memory.deallocate() }
        let address = String(UInt(bitPattern: memory), radix: 16)
        let text = try standardRecord().text.split(separator: "user_va=map1+0x1000").joined(
            separator: "user_va=0x\(address)")
        let error = #expect(throws: Replay.Impossible.self) { _ = try differences(Record(parsing: text)) }
        #expect(error?.message.contains("address of the program") == true)
    }

    /// Data loops call through the context: whoever recorded them is gone, but not the context.
    @Test func aContextThatOutlivesItsRecordCallsItsProviderAgain() throws {
        func polls(_ context: UnsafeMutablePointer<ibv_context>) -> UnsafeRawPointer {
            unsafeBitCast(context.pointee.ops.poll_cq, to: UnsafeRawPointer.self)
        }
        let kernel = SimKernel(.standard)
        let device = try #require(try kernel.call(Verbs.ibv_get_device_list).first)
        let other = try kernel.call(Verbs.ibv_open_device, device)
        var recording: TracingKernel? = TracingKernel(kernel)
        recording?.record = { _ in }
        let context = try #require(try recording?.call(Verbs.ibv_open_device, device))
        #expect(polls(context) != polls(other))
        recording = nil
        #expect(polls(context) == polls(other))
    }

    /// What lies where unmapped memory was is the program's own.
    @Test func unmappedMemoryLendsItsNameToNothing() throws {
        var symbols = Symbols()
        func line(_ name: String, _ arguments: [UInt64], _ pointer: UInt64? = nil, result: UInt64 = 0) throws -> String
        {
            let signature = try #require(Signature.all[name])
            var operation = Operation(
                signature, zip(arguments, signature.parameters).map { .number($0, $1.format) })
            operation.result = .number(result, signature.result)
            if let pointer { operation.arguments.append(.structure([.init("ptr", .pointer([1], pointer))])) }
            return Record.line(symbols.named(operation))
        }
        _ = try line("mmap", [8192, 3, 0x22, .max, 0], result: 0x7000)
        #expect(try line("ioctl", [3, 0], 0x7010).contains("ptr=map1+0x10"))
        _ = try line("munmap", [0x7000, 8192])
        #expect(try line("ioctl", [3, 0], 0x7010).contains("ptr=&<01>"))
    }

    /// Devices may give a region one number for both keys; where the record is made again, they may be two.
    @Test func aRegionsKeysHaveTheirOwnNames() throws {
        var symbols = Symbols()
        let made = try #require(Signature.all["ibv_reg_mr"])
        var region = Operation(made, made.parameters.map { .number(0, $0.format) })
        region.result = .number(0x7000, made.result)
        region.outputs = [.init("lkey", .number(0x42, .key)), .init("rkey", .number(0x42, .key))]
        #expect(Record.line(symbols.named(region)).contains("{lkey=mr1.lkey, rkey=mr1.rkey}"))
        let posted = try #require(Signature.all["ibv_post_send"])
        let piece = Operation.Value.structure([.init("lkey", .number(0x42, .key))])
        let request = Operation.Value.structure([.init("rkey", .number(0x42, .key)), .init("sg_list", .list([piece]))])
        let line = Record.line(symbols.named(Operation(posted, [.number(0, .handle("qp")), .list([request])])))
        #expect(line.contains("rkey=mr1.rkey") && line.contains("lkey=mr1.lkey"), "\(line)")
    }

    @Test func whatIsWrittenMayBeNothing() throws {
        let text = "peerlab record 1\n\nmemfd_create(\"a\", 2) = memfd1\npwrite(memfd1, <>, 0, 0) = 0\n"
        #expect(CExport(try Record(parsing: text), kselftest: false).text.contains("data[1] = { 0 };"))
    }

    @Test func mailMayChangeHowLinesEnd() throws {
        let text = try standardRecord().text
        #expect(
            try Record(parsing: text.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n"))
                .text == text)
    }

    @Test(arguments: ["\r", "\u{c}", "\u{2028}"])
    func aCommentThatBeginsWithALineEndReadsAsItIsWritten(_ end: String) throws {
        let text = try Record(parsing: standardRecord().text + "\n#\(end)word\n").text
        #expect(text.contains("# word"))
        #expect(try Record(parsing: text).text == text)
    }

    @Test func aRecordSaysThatItIsWhole() throws {
        let text = try standardRecord().text
        let lines = text.split(separator: "\n").map(String.init)
        let calls = lines.indices.filter { lines[$0].contains(" = ") }
        #expect(try Record(parsing: text).isWhole && lines.last == "#! end \(calls.count) operations")
        let start = try #require(calls.first)
        for place in calls {
            #expect(throws: RecordError.self) { try Record(parsing: text.replacing(lines[place] + "\n", with: "")) }
            // Cut behind it, nobody knows what came.
            let head = text.components(before: lines[place]) + lines[place] + "\n"
            #expect(try !Record(parsing: head).isWhole)
        }
        #expect(throws: RecordError.self) { try Record(parsing: text + lines[start] + "\n") }
        #expect(try Record(parsing: text + "# seen by me\n").isWhole)
    }

    @Test func pathsAreThoseThatItOpens() throws {
        #expect(try standardRecord().paths == ["/dev/vfio/devices/vfio0", "/dev/iommu"])
    }

    @Test func whatAFailedCallWouldHaveMadeIsMissed() throws {
        let text = try standardRecord().text
        let without = text.split(separator: "\n", omittingEmptySubsequences: false).filter {
            !$0.contains("IOAS_ALLOC") && !$0.hasPrefix("#! end")
        }
        let error = #expect(throws: Replay.Impossible.self) {
            _ = try differences(Record(parsing: without.joined(separator: "\n")))
        }
        #expect(error?.message.contains("ioas1 is not there") == true)
    }
}

extension String {
    fileprivate func components(before part: String) -> String {
        firstRange(of: part).map { String(self[..<$0.lowerBound]) } ?? self
    }

    fileprivate func replacingCharacters(with word: String) -> String { word + dropFirst(4) }
}
