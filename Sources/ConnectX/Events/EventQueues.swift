import VFIOUser

/// The function's event queues.
final class EventQueues: EventSink {
    private let bus: any PCIBus
    var table: NumberedTable<EventQueue>

    init(bus: any PCIBus, limit: Int) {
        self.bus = bus
        table = NumberedTable(first: 4, limit: limit)
    }

    subscript(number: Int) -> EventQueue? { table[number] }

    /// The health syndrome of a queue that has failed; nil while all work.
    var syndrome: InitializationSegment.Syndrome? {
        if table.contains(where: { $0.status != .ok }) { return .eventQueue }
        return table.contains { $0.lost > 0 } ? .eventQueueOverrun : nil
    }

    /// Tells the driver of an event; `data` fills the entry's 28 bytes of event_data, which are 0 before.
    /// - Returns: false where no event queue wants events of this type.
    @discardableResult
    func raise(_ type: EventType, subtype: UInt8 = 0, data: (UnsafeMutableRawBufferPointer) -> Void) -> Bool {
        guard let queue = queue(for: type) else { return false }
        queue.add(type, subtype: subtype, bus, data: data)
        return true
    }

    func completion(of queue: UInt32, to eventQueue: UInt32) {
        table[eventQueue]?.add(.completion, subtype: 0, bus) { $0[EventData.completionQueue] = UInt64(queue) }
    }

    func raise(_ event: AsynchronousEvent) {
        raise(event.type) { event.fill($0) }
    }

    func pageFault(_ fault: PageFault) -> Bool {
        raise(.pageFault, subtype: PageFault.subtype) { fault.fill($0) }
    }

    /// The queue to which events of a type go, other than completions.
    func queue(for type: EventType) -> EventQueue? {
        table.first { $0.takes(type) }
    }

    /// Handles a doorbell of a UAR page; ignored where the queue belongs to another page.
    func doorbell(uar: Int, number: Int, consumer: UInt32, arm: Bool) {
        guard let queue = table[number], queue.uar == uar else { return }
        queue.update(consumer: consumer, arm: arm, bus)
    }
}

/// Event data of several types, from the first of its 28 bytes.
enum EventData {
    static let completionQueue = Field("comp_event.cq_number", bit: 0xc8, width: 24)
    static let command = Field("cmd_inter_comp_event.command_completion_vector", bit: 0x0, width: 32)
    static let port = Field("port_state_change_event.port_num", bit: 0x40, width: 4)
}
