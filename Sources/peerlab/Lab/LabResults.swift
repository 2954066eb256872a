import ArgumentParser
import CKernel
import Commands
import Glibc
import Kernel
import Runner

/// A file that a guest sends, and its destination.
struct LabResult {
    /// The required content; anything else is dropped.
    enum Kind {
        /// Lines, of a trace or of a user's program.
        case text
        /// A record made in the lab.
        case record
        /// Results of the lab, as JSON.
        case results
        /// Findings of `peerlab doctor`, which the destination checks.
        case diagnosis

        /// Most bytes; decoded JSON takes many times that memory.
        fileprivate var limit: Int {
            switch self {
            case .text, .record: 256 << 20
            case .results, .diagnosis: 32 << 20
            }
        }
    }

    /// Why received content is dropped.
    struct Objection: Error {
        let text: String
    }

    let kind: Kind
    let name: String
    private let file: ResultFile?
    private let read: (([UInt8]) throws -> Void)?

    /// With a file as destination, which was checked when the command began.
    init(_ file: ResultFile, _ name: String, _ kind: Kind) {
        self.kind = kind
        self.name = name
        self.file = file
        read = nil
    }

    /// With a function as destination.
    init(_ name: String, _ kind: Kind, read: @escaping ([UInt8]) throws -> Void) {
        self.kind = kind
        self.name = name
        self.read = read
        file = nil
    }

    /// Takes the received bytes. What is written is generated from the parsed content, so that no other reader can
    /// understand it differently.
    func take(_ bytes: [UInt8]) throws {
        guard bytes.count <= kind.limit else {
            throw Objection(text: "it has \(bytes.count) bytes, and at most \(kind.limit) are taken")
        }
        switch kind {
        case .text: try write(linesOf: bytes)
        case .record:
            try LabResult.checkHeader(bytes)
            try write(linesOf: bytes)
        case .results:
            let text = try Report.json(try LabResult.results(in: bytes), version: Peerlab.version)
            try read?(text)
            try file?.write(text)
        case .diagnosis: try read?(bytes)
        }
    }

    /// Whether a result names a lab as its bench. A guest that names another one would pass emulated results off as
    /// those of another machine.
    static func areLabs(_ result: ScenarioResult) -> Bool {
        result.bench == "lab" && !result.simulated && result.bench_description.hasPrefix("kernel ")
            && LabOptions.insides.contains { result.bench_description.hasSuffix(" in \($0)") }
    }

    static func results(in bytes: [UInt8]) throws -> [ScenarioResult] {
        guard let results = Report.results(in: bytes) else { throw Objection(text: "it is no document of results") }
        guard results.allSatisfy(areLabs) else { throw Objection(text: "it has results that are not the lab's") }
        return results
    }

    /// Checks the header of a record, which names its bench. Its calls are checked when it is replayed.
    private static func checkHeader(_ bytes: [UInt8]) throws {
        let lines = bytes.prefix(1 << 16).split(separator: 10, omittingEmptySubsequences: false).prefix { !$0.isEmpty }
            .map { String(decoding: $0, as: UTF8.self) }
        guard lines.first == "peerlab record 1" else { throw Objection(text: "it is no record") }
        func values(_ key: String) -> [Substring] {
            lines.filter { $0.utf8.starts(with: "\(key):".utf8) }.map { $0.dropFirst(key.count + 1).drop { $0 == " " } }
        }
        let benches = values("bench"), models = values("model")
        guard benches.count == 1, benches.allSatisfy({ $0.hasPrefix("lab (kernel ") }), models.count <= 1,
            models.allSatisfy({ $0 == "sim:lab" || $0.hasPrefix("sim:lab-") })
        else { throw Objection(text: "it does not say that it is the lab's") }
    }

    /// Writes the text line by line, escaped like all foreign text.
    private func write(linesOf bytes: [UInt8]) throws(Failure) {
        try file?.write { pieces in
            var rest = bytes[...]
            while !rest.isEmpty {
                let end = rest.firstIndex(of: 10) ?? rest.endIndex
                pieces.add(PrintableText.line(String(decoding: rest[..<end], as: UTF8.self), longest: .max))
                pieces.add("\n")
                rest = rest[end...].dropFirst()
            }
        }
    }
}

/// Files of a guest while they are received: memfds, which end with this process.
final class LabSpools {
    private let results: [LabResult]
    private var descriptors: [Int32] = []
    private var failure: Errno?

    init(_ results: [LabResult]) throws {
        self.results = results
        for result in results {
            let made = sys_memfd_create("result")
            guard made >= 0 else { throw ValidationError("\(result.name): \(Errno(Int32(-made)).message)") }
            descriptors.append(Int32(made))
        }
    }

    deinit { for descriptor in descriptors { close(descriptor) } }

    func add(_ number: Int, _ bytes: [UInt8]) {
        guard failure == nil, descriptors.indices.contains(number) else { return }
        if !writeAll(bytes, to: descriptors[number]) { failure = Errno(errno) }
    }

    /// Whether results were received.
    var hasResults: Bool {
        zip(results, descriptors).contains { $0.kind == .results && lseek($1, 0, SEEK_END) > 0 }
    }

    /// Uses results that were made here, where the guest sent none.
    func replaceResults(_ bytes: [UInt8]) {
        for (number, result) in results.enumerated() where result.kind == .results { add(number, bytes) }
    }

    /// Passes each file to its destination. A file that did not come, or was refused, leaves the destination unchanged;
    /// returns the reasons.
    func finish() -> [String] {
        if let failure { return ["the guest's files cannot be kept: \(failure.message) (\(failure.name))"] }
        return zip(results, descriptors).compactMap { result, descriptor in
            let bytes = LabSpools.contents(descriptor)
            let missing = "\(result.name) is not written: "
            guard !bytes.isEmpty else { return missing + "the guest sent none" }
            do {
                try result.take(bytes)
                return nil
            } catch let objection as LabResult.Objection {
                return missing + "what the guest sent is not kept, as \(objection.text)"
            } catch let failure as Failure {
                return missing + failure.message
            } catch { return missing + "\(error)" }
        }
    }

    private static func contents(_ descriptor: Int32) -> [UInt8] {
        lseek(descriptor, 0, SEEK_SET)
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while case let count = Glibc.read(descriptor, &buffer, buffer.count), count > 0 { bytes += buffer[..<count] }
        return bytes
    }
}
