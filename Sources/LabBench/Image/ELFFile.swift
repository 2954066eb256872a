/// The parts of a program that the kernel and the dynamic linker need.
enum ELFFile {
    /// The program without symbols and debugging information, which follow the loaded segments; unchanged where it is
    /// not a 64-bit program. Source: elf(5).
    static func withoutSymbols(_ program: [UInt8]) -> [UInt8] {
        guard program.starts(with: [0x7f, 0x45, 0x4c, 0x46, 2, 1]), program.count >= 64 else { return program }
        func number(_ at: Int, _ count: Int) -> Int? {
            guard at >= 0, count <= program.count, at <= program.count - count else { return nil }
            let value = program[at..<(at + count)].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return Int(exactly: value)
        }
        guard let table = number(32, 8), let size = number(54, 2), let count = number(56, 2), size >= 56 else {
            return program
        }
        var end = 64
        for index in 0..<count {
            guard let header = table.adding(index * size), header <= program.count, let offset = number(header + 8, 8),
                let length = number(header + 32, 8), let last = offset.adding(length), last <= program.count
            else { return program }
            end = max(end, last, header + size)
        }
        var result = Array(program[..<end])
        // Clears e_shoff, e_shnum and e_shstrndx: there are no sections any more.
        for at in Array(40..<48) + Array(60..<64) { result[at] = 0 }
        return result
    }
}

extension Int {
    /// A sum; nil on overflow.
    fileprivate func adding(_ other: Int) -> Int? {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? nil : sum
    }
}
