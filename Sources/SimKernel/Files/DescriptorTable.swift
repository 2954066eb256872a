/// A process's open files, by descriptor. fs/file.c
struct DescriptorTable {
    private struct Slot {
        var file: OpenFile?
        var closesOnExec = false
    }
    private var slots: [Slot] = []
    private var numbers = LowestFree(from: 3)

    /// The file behind a descriptor; nil for one that is not open.
    subscript(_ descriptor: Int32) -> OpenFile? {
        slots.indices.contains(Int(descriptor)) ? slots[Int(descriptor)].file : nil
    }

    /// Open ones, by number.
    var all: [(descriptor: Int32, file: OpenFile)] {
        slots.enumerated().compactMap { index, slot in
            slot.file.map { (descriptor: Int32(truncatingIfNeeded: index), file: $0) }
        }
    }

    /// alloc_fd: the lowest free number.
    mutating func install(_ file: OpenFile, closesOnExec: Bool) -> Int {
        let number = numbers.take()
        while slots.count <= number { slots.append(Slot()) }
        slots[number] = Slot(file: file, closesOnExec: closesOnExec)
        return number
    }

    /// file_close_fd; nil for one that is not open.
    mutating func remove(_ descriptor: Int32) -> OpenFile? {
        guard let file = self[descriptor] else { return nil }
        slots[Int(descriptor)] = Slot()
        numbers.giveBack(Int(descriptor))
        return file
    }

    /// FD_CLOEXEC of an open descriptor.
    func closesOnExec(_ descriptor: Int32) -> Bool {
        self[descriptor] != nil && slots[Int(descriptor)].closesOnExec
    }

    /// F_SETFD of an open descriptor.
    mutating func setClosesOnExec(_ closes: Bool, _ descriptor: Int32) {
        if self[descriptor] != nil { slots[Int(descriptor)].closesOnExec = closes }
    }
}
