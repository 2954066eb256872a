import Results

// In a file of its own: a run's record of Results is another one than that of Records.
extension Fuzz {
    /// Reads fuzz.input as the program reads a batch's journal.
    mutating func journal() {
        counts["journals", default: 0] += 1
        guard let journal = try? JournalReader("fuzz.input") else { return }
        counts["journals read", default: 0] += 1
        var runs = 0
        journal.each { _ in runs += 1 }
        counts["runs of journals", default: 0] += runs
    }
}
