import ArgumentParser
import CKernel
import Commands
import Glibc
import Kernel
import Records
import Runner

/// A file that a guest sends, and where it goes.
struct LabResult {
    /// What it has to be: nothing else is kept of it.
    enum Kind {
        /// Lines of a trace.
        case text
        /// A record, of the lab.
        case record
        /// Results as JSON, of the lab.
        case results
    }

    let kind: Kind
    /// nil where somebody here reads it and no file is written.
    let file: ResultFile?
    let name: String
    /// Who reads it.
    var read: (([UInt8]) -> Void)?

    /// Goes to `path`, which can be written.
    init(_ path: String, _ kind: Kind) throws(Failure) {
        self.kind = kind
        name = path
        file = try ResultFile(path)
    }

    /// Goes to a file that was looked at when the command began.
    init(_ file: ResultFile, _ name: String, _ kind: Kind) {
        self.kind = kind
        self.name = name
        self.file = file
    }

    /// Is read by `read`.
    init(_ name: String, _ kind: Kind, read: @escaping ([UInt8]) -> Void) {
        self.kind = kind
        self.name = name
        file = nil
        self.read = read
    }

    /// As it is written: text of others, in whole lines.
    func shown(_ bytes: [UInt8]) -> [UInt8] {
        guard kind != .results else { return JSONText.escaped(bytes) }
        let lines = PrintableText.lines(String(decoding: bytes, as: UTF8.self), longest: .max)
        return lines.flatMap { Array($0.utf8) + [0x0a] }
    }

    /// Why what came is not kept; nil where it is what it has to be. A guest that calls itself something else than a lab
    /// would show emulated results as another machine's.
    func objection(to bytes: [UInt8]) -> String? {
        switch kind {
        case .text: return nil
        case .record:
            let record: Record
            do throws(RecordError) { record = try Record(parsing: String(decoding: bytes, as: UTF8.self)) } catch {
                return "it is no record: \(error.text)"
            }
            return record["bench"]?.hasPrefix("lab ") == true ? nil : "it says that it is not the lab's"
        case .results:
            guard let results = Report.results(in: bytes) else { return "it is no document of results" }
            return results.allSatisfy { $0.bench == "lab" && !$0.simulated }
                ? nil : "it has results that are not the lab's"
        }
    }
}

/// Files of a guest while they come: in memory files, which go with this process.
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

    /// Each to where it goes; what did not come leaves what is there as it is.
    func finish() throws {
        if let failure {
            throw ValidationError("the guest's files cannot be kept: \(failure.message) (\(failure.name))")
        }
        for (result, descriptor) in zip(results, descriptors) {
            lseek(descriptor, 0, SEEK_SET)
            var bytes: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 1 << 20)
            while case let count = Glibc.read(descriptor, &buffer, buffer.count), count > 0 {
                bytes += buffer[..<count]
            }
            guard !bytes.isEmpty else { continue }
            if let objection = result.objection(to: bytes) {
                throw ValidationError(
                    "\(result.name) is not written, for what the guest sent is not to be kept: \(objection)")
            }
            result.read?(bytes)
            do throws(Failure) { try result.file?.write(result.shown(bytes)) } catch {
                throw ValidationError("cannot write the results: \(error.message)")
            }
        }
    }
}
