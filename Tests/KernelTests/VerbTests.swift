import CKernel
import FoundationEssentials
import Testing

@testable import Kernel

/// Descriptions of verbs: what a call becomes in a record, and what a record's text becomes in a call.
@Suite struct VerbTests {
    /// Notes what is called, and makes nothing.
    private final class Notebook: VerbsCalls {
        var operation: Operation?

        func call<Answer, each Argument>(
            _ verb: Verb<Answer, repeat each Argument>, _ arguments: repeat each Argument
        ) throws(Errno) -> Answer {
            operation = verb.operation(repeat each arguments)
            throw Errno(ENOSYS)
        }
    }

    private struct Numbers: OperationNames {
        var limits: (bytes: Int, elements: Int) { (64, 8) }
        func name(of value: UInt64, _ format: Format, in operation: Operation, isResult: Bool) -> String? { nil }
    }

    /// Memory that stands for every object: some verbs look into it.
    private static func values(of verb: any AnyVerb, _ object: UnsafeMutableRawPointer) -> [Operation.Value] {
        verb.signature.parameters.enumerated().map { index, parameter in
            switch (parameter.format, parameter.name) {
            case (.handle, _): .number(UInt64(UInt(bitPattern: object)), parameter.format)
            case (_, "bytes"): .bytes(parameter.isOutput ? [] : [UInt8](repeating: 9, count: 16))
            case (_, "length"): .number(16, parameter.format)
            case (_, "solicited_only"): .number(1, parameter.format)
            case (_, "attr"): .structure([])
            case (_, "wr"): .list([])
            default: .number(UInt64(index + 1), parameter.format)
            }
        }
    }

    @Test(arguments: Verbs.all.map(\.signature.name))
    func aRecordedCallIsMadeAgainWithTheSameArguments(_ name: String) throws {
        let verb = try #require(Verbs.named(name))
        let object = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 16)
        defer { object.deallocate() }
        _ = object.initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
        let notebook = Notebook()
        let values = VerbTests.values(of: verb, object)
        #expect(verb.call(again: values, on: notebook))
        let made = try #require(notebook.operation)
        for (index, parameter) in verb.signature.parameters.enumerated() where !["attr", "wr"].contains(parameter.name)
        {
            #expect(
                made.text(made.arguments[index], Numbers()) == made.text(values[index], Numbers()),
                "\(name), \(parameter.name)")
        }
    }

    @Test(arguments: Verbs.all.filter { $0.ends }.map(\.signature.name))
    func aCallWithoutItsObjectIsNotMade(_ name: String) throws {
        let verb = try #require(Verbs.named(name))
        let notebook = Notebook()
        #expect(!verb.call(again: [.number(0, .decimal)], on: notebook))
        #expect(notebook.operation == nil)
    }

    /// What is not in the list, no record can be read with.
    @Test func everyVerbIsInTheListOfAll() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().path + "/../../Sources/Kernel/Verbs"
        let described = try FileManager.default.contentsOfDirectory(atPath: folder).flatMap { name in
            try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
                .matches(of: /public static let \w+ = Verb\(\s*"(\w+)"/).map { String($0.1) }
        }
        #expect(described.sorted() == Verbs.all.map(\.signature.name).sorted())
    }

    @Test func numbersInDecimalDigitsHaveNoSignAndOthersAreExtended() throws {
        let context = try #require(UnsafeMutablePointer<ibv_context>(bitPattern: 0x1000))
        let pd = try #require(UnsafeMutablePointer<ibv_pd>(bitPattern: 0x2000))
        let queue = Verbs.ibv_create_cq.operation(context, -1, nil)
        #expect(queue.text(Numbers()) == "ibv_create_cq(context=0x1000, cqe=4294967295, channel=0) = 0")
        let region = Verbs.ibv_reg_dmabuf_mr.operation(pd, 0, 16, 0, -1, 3)
        #expect(region.text(Numbers()).contains("fd=-1, access=LOCAL_WRITE|REMOTE_WRITE"))
    }

    @Test func aWorkRequestIsReadBackAsItWasWritten() throws {
        let qp = UnsafeMutablePointer<ibv_qp>.allocate(capacity: 1)
        defer { qp.deallocate() }
        qp.initialize(to: ibv_qp())
        qp.pointee.qp_type = IBV_QPT_RC
        var pieces = [ibv_sge(addr: 0x1000, length: 64, lkey: 7), ibv_sge(addr: 0x2000, length: 1, lkey: 8)]
        let notebook = Notebook()
        let written = pieces.withUnsafeMutableBufferPointer { list in
            var second = ibv_send_wr()
            second.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD
            second.wr.atomic.compare_add = 5
            return withUnsafeMutablePointer(to: &second) { second in
                var first = ibv_send_wr()
                first.wr_id = 3
                first.opcode = IBV_WR_RDMA_WRITE_WITH_IMM
                first.imm_data = 0x1234
                first.wr.rdma.rkey = 9
                first.sg_list = list.baseAddress
                first.num_sge = 2
                first.next = second
                return withUnsafeMutablePointer(to: &first) { Verbs.ibv_post_send.operation(qp, $0) }
            }
        }
        #expect(Verbs.ibv_post_send.call(again: written.arguments, on: notebook))
        #expect(try #require(notebook.operation).text(Numbers()) == written.text(Numbers()))
    }

    @Test func accessHasOneNameForAllWhoShowIt() {
        #expect(Access.format.text(0x100001) == "LOCAL_WRITE|RELAXED_ORDERING")
        #expect(Access(rawValue: 0x100001).scriptNames == ["local_write", "relaxed_ordering"])
    }
}
