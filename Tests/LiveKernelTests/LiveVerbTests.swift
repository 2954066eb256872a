import CKernel
import LiveKernel
import Testing

@testable import Kernel

/// What the live kernel knows of objects, whatever the verb: from their making to their end.
@Suite struct LiveVerbTests {
    /// Where the made objects would be.
    private static let address: UInt = 0x4000

    /// A verb of this test's, which a library would make an object by.
    private static let make = Verb("make", .context, makes: .pd, refusals: []) {
        (object: UnsafeMutablePointer<UnsafeMutablePointer<ibv_pd>?>, _) in
        object.pointee = UnsafeMutablePointer(bitPattern: address)
        return 0
    }

    private static func end(_ result: Int) -> Verb<Void, UnsafeMutablePointer<ibv_pd>> {
        Verb("end", .pd, ends: true, refusals: []) { _ in result }
    }

    private let kernel = LiveKernel()
    private let context: UnsafeMutablePointer<ibv_context>

    init() throws { context = try #require(UnsafeMutablePointer(bitPattern: 0x1000)) }

    @Test func anObjectIsOpenUntilItEnds() throws {
        let pd = try kernel.call(LiveVerbTests.make, context)
        #expect(kernel.open == ["protection domain"])
        try kernel.call(LiveVerbTests.end(0), pd)
        #expect(kernel.open.isEmpty)
    }

    @Test func anObjectThatCannotEndStaysOpen() throws {
        let pd = try kernel.call(LiveVerbTests.make, context)
        #expect(throws: Errno.busy) { try kernel.call(LiveVerbTests.end(Errno.busy.result), pd) }
        #expect(kernel.open == ["protection domain"])
    }

    /// The kernel ended it before, and could only not say so.
    @Test func anObjectThatTheKernelDoesNotKnowIsGone() throws {
        let pd = try kernel.call(LiveVerbTests.make, context)
        #expect(throws: Errno.noEntry) { try kernel.call(LiveVerbTests.end(Errno.noEntry.result), pd) }
        #expect(kernel.open.isEmpty)
    }

    @Test func whatGivesNothingAndNoErrorIsEIO() {
        let nothing = Verb("make", .context, makes: .pd, refusals: []) {
            (_: UnsafeMutablePointer<UnsafeMutablePointer<ibv_pd>?>, _) in 0
        }
        #expect(throws: Errno(EIO)) { try kernel.call(nothing, context) }
        #expect(kernel.open.isEmpty)
    }
}
