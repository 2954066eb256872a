import CKernel
import Glibc

/// Lines that a user edits, with history and completion, by libedit. It is loaded when it is needed: no other command
/// needs it, and a machine may lack it.
final class LineEditor {
    private typealias ReadLine = @convention(c) (UnsafePointer<CChar>) -> UnsafeMutablePointer<CChar>?
    private typealias AddHistory = @convention(c) (UnsafePointer<CChar>) -> Int32
    private typealias GetCharacter = @convention(c) (UnsafeMutableRawPointer?) -> Int32
    private typealias Complete =
        @convention(c) (
            UnsafePointer<CChar>?, Int32, Int32
        ) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?

    /// What completes the word at the end of a line. C calls it without a context, and there is one terminal.
    nonisolated(unsafe) private static var complete: ((String) -> [String])?
    nonisolated(unsafe) private static var line: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?

    /// Characters that end a word: all that no chain such as "dev:read" has.
    private static let breaks = " \t\n\"'`@$><=;|&{}()[],+-*/%#~^"

    private let readLine: ReadLine
    private let addHistory: AddHistory
    private let resize: @convention(c) () -> Void

    nonisolated(unsafe) private static var over: UnsafeMutablePointer<Int32>?
    /// Signals that were counted before the line that is read.
    nonisolated(unsafe) private static var signals: Int32 = 0

    /// nil where the library is not there. It reads its files now: later the process may open none.
    init?(complete: @escaping (String) -> [String]) {
        guard let library = dlopen("libedit.so.2", RTLD_NOW), let read = dlsym(library, "readline"),
            let add = dlsym(library, "add_history"), let initialize = dlsym(library, "rl_initialize"),
            let line = dlsym(library, "rl_line_buffer"),
            let attempted = dlsym(library, "rl_attempted_completion_function"),
            let over = dlsym(library, "rl_attempted_completion_over"),
            let breaks = dlsym(library, "rl_completer_word_break_characters"),
            let appended = dlsym(library, "rl_completion_append_character"),
            let catches = dlsym(library, "rl_catch_signals"), let getCharacter = dlsym(library, "rl_getc_function"),
            let resize = dlsym(library, "rl_resize_terminal")
        else { return nil }
        // Characters beyond ASCII; numbers stay as C writes them.
        setlocale(LC_CTYPE, "C.UTF-8")
        readLine = unsafeBitCast(read, to: ReadLine.self)
        addHistory = unsafeBitCast(add, to: AddHistory.self)
        LineEditor.complete = complete
        LineEditor.line = line.assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self)
        self.resize = unsafeBitCast(resize, to: (@convention(c) () -> Void).self)
        // A signal ends the reading of a line (`character`); libedit's own handlers would send it on to the whole group of
        // processes, which the process may not do.
        catches.assumingMemoryBound(to: Int32.self).pointee = 0
        let character: GetCharacter = { _ in LineEditor.character() }
        getCharacter.assumingMemoryBound(to: GetCharacter?.self).pointee = character
        _ = unsafeBitCast(initialize, to: (@convention(c) () -> Int32).self)()
        appended.assumingMemoryBound(to: Int32.self).pointee = 0
        LineEditor.over = over.assumingMemoryBound(to: Int32.self)
        breaks.assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self).pointee = strdup(LineEditor.breaks)
        let function: Complete = { _, _, end in LineEditor.matches(end) }
        attempted.assumingMemoryBound(to: Complete?.self).pointee = function
    }

    /// The next character that is typed, -1 at the end and where a signal came.
    private static func character() -> Int32 {
        guard let first = byte() else { return -1 }
        var bytes = [first]
        let count = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1
        while bytes.count < count {
            guard let next = byte() else { return -1 }
            bytes.append(next)
        }
        // What is not UTF-8 is seen as such.
        return String(decoding: bytes, as: UTF8.self).unicodeScalars.first.map { Int32($0.value) } ?? -1
    }

    private static func byte() -> UInt8? {
        var byte: UInt8 = 0
        while process_signals() == signals {
            let count = Glibc.read(STDIN_FILENO, &byte, 1)
            if count == 1 { return byte }
            guard count < 0, errno == EINTR else { return nil }
        }
        return nil
    }

    /// The words that may stand before the cursor, as libedit wants them: first what they have in common, then each.
    private static func matches(_ end: Int32) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? {
        // No names of files where there is no match.
        over?.pointee = 1
        guard let text = line?.pointee, let complete else { return nil }
        let bytes = UnsafeBufferPointer(start: text, count: min(strlen(text), Int(max(0, end))))
        let words = complete(String(decoding: bytes.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        guard let first = words.first else { return nil }
        let common = words.dropFirst().reduce(first) { String(zip($0, $1).prefix { $0 == $1 }.map(\.0)) }
        let all = [common] + (words.count > 1 ? words : [])
        guard let block = calloc(all.count + 1, MemoryLayout<UnsafeMutablePointer<CChar>?>.size) else { return nil }
        let list = block.assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self)
        for (index, word) in all.enumerated() { list[index] = strdup(word) }
        return list
    }

    /// Adds a line that the arrow keys bring back.
    func remember(_ line: String) { _ = addHistory(line) }

    /// A line without its end; nil at the end of the input, and where a signal came.
    func read(_ prompt: String) -> String? {
        LineEditor.signals = process_signals()
        // The window may have another size than at the line before.
        resize()
        guard let line = readLine(prompt) else { return nil }
        defer { free(line) }
        return String(cString: line)
    }
}
