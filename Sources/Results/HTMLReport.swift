import Runner

enum HTMLReport {
    static func write(_ journal: JournalReader, to pieces: inout ResultFile.Pieces) { pieces.add("") }
}
