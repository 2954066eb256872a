public import Devices
import Glibc
public import LuaKit

/// Binds the devices of a run to vfio-pci and restores their drivers.
public protocol BindingBroker: AnyObject {
    /// Binds all of them or none; `emit` gets lines for the user. Throws a "usage" error with the obstacle.
    func bind(_ addresses: [PCIAddress], emit: (String) -> Void) throws(ErrorValue)
    /// Restores bound devices; returns a line for each that could not be restored.
    func restore(emit: (String) -> Void) -> [String]
}

/// Messages between a run's process and the one that binds for it: a kind and fields. Each is one packet of a
/// SOCK_SEQPACKET socket, which keeps their boundaries.
private enum BindingMessage {
    enum Kind: UInt8 {
        case bind = 0x62
        case restore = 0x72
        case line = 0x6c
        case problem = 0x70
        case error = 0x65
        case done = 0x64
    }
    /// Bytes of the longest message.
    static let longest = 1 << 14

    /// Fields are separated by zero bytes; a field's text after a zero byte is dropped.
    static func bytes(_ kind: Kind, _ fields: [String] = []) -> [UInt8] {
        var bytes = [kind.rawValue]
        bytes += fields.map { Array($0.utf8.prefix { $0 != 0 }) }.joined(separator: [0])
        return Array(bytes.prefix(longest))
    }

    /// nil where the bytes are not a valid message.
    static func parse(_ bytes: [UInt8]) -> (kind: Kind, fields: [String])? {
        guard let first = bytes.first, let kind = Kind(rawValue: first) else { return nil }
        let rest = bytes.dropFirst()
        guard !rest.isEmpty else { return (kind, []) }
        return (
            kind, rest.split(separator: 0, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
        )
    }

    /// The next message; nil where the other side has closed. Uses read(2), which a confined process may call.
    static func receive(_ descriptor: Int32) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: longest)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count > 0 { return Array(buffer[..<count]) }
            guard count < 0, errno == EINTR else { return nil }
        }
    }
}

/// The run's side: asks the process outside the sandbox, since its own may not change drivers.
public final class BindingClient: BindingBroker {
    private let descriptor: Int32

    /// A connected socket, which stays open.
    public init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// See ``BindingBroker``.
    public func bind(_ addresses: [PCIAddress], emit: (String) -> Void) throws(ErrorValue) {
        _ = try ask(.bind, addresses.map(\.description), emit)
    }

    /// See ``BindingBroker``.
    public func restore(emit: (String) -> Void) -> [String] {
        do throws(ErrorValue) { return try ask(.restore, [], emit) } catch { return [error.message] }
    }

    private func ask(_ kind: BindingMessage.Kind, _ fields: [String], _ emit: (String) -> Void) throws(ErrorValue)
        -> [String]
    {
        let bytes = BindingMessage.bytes(kind, fields)
        while write(descriptor, bytes, bytes.count) < 0 { guard errno == EINTR else { break } }
        var problems: [String] = []
        while let bytes = BindingMessage.receive(descriptor), let (kind, fields) = BindingMessage.parse(bytes) {
            switch kind {
            case .line: emit(fields.first ?? "")
            case .problem: problems.append(fields.first ?? "")
            case .error: throw BindingClient.error(fields)
            default: return problems
            }
        }
        throw ErrorValue(
            kind: .usage, "the process that binds devices does not answer; `peerlab restore` brings them back")
    }

    private static func error(_ fields: [String]) -> ErrorValue {
        func field(_ index: Int) -> String? {
            fields.indices.contains(index) && !fields[index].isEmpty ? fields[index] : nil
        }
        var error = ErrorValue(kind: field(0).map(ErrorKind.init) ?? .usage, field(1) ?? "")
        error.operation = field(2)
        error.errno = field(3).flatMap { Int32($0) }
        error.name = field(4)
        error.object = field(5)
        error.request = field(6)
        error.hint = field(7)
        return error
    }
}

/// The side of the process outside the sandbox: binds devices that its user permits, and restores them however the run
/// ends. Messages from the run are untrusted.
public final class BindingServer {
    private let descriptor: Int32
    private let permit: (PCIAddress) throws(ErrorValue) -> Void
    private let print: (String) -> Void
    private var binder: DeviceBinder?
    private var bound: BoundDevices?
    /// Whether lines for the user go to the run, which reports them; later they are printed here.
    private var hasRun = true

    /// Most devices that one run may bind.
    static let mostDevices = 256

    /// - Parameters:
    ///   - descriptor: a connected socket.
    ///   - permit: throws where a device may not be bound for this run.
    ///   - binder: makes the binder; its argument gets lines for the user.
    ///   - print: gets those lines once the run is gone.
    public init(
        _ descriptor: Int32, permit: @escaping (PCIAddress) throws(ErrorValue) -> Void,
        binder: (_ emit: @escaping (String) -> Void) -> DeviceBinder, print: @escaping (String) -> Void
    ) {
        self.descriptor = descriptor
        self.permit = permit
        self.print = print
        self.binder = binder { [unowned self] in emit($0) }
    }

    /// Answers messages until the other side has closed.
    public func serve() {
        while let bytes = BindingMessage.receive(descriptor) {
            // A malformed message gets no answer.
            guard let (kind, fields) = BindingMessage.parse(bytes) else { continue }
            do throws(ErrorValue) {
                switch kind {
                case .bind: try bind(fields)
                case .restore: for problem in restore() { send(.problem, [problem]) }
                default: continue
                }
                send(.done)
            } catch {
                send(
                    .error,
                    [
                        error.kind.text, error.message, error.operation ?? "", error.errno.map { "\($0)" } ?? "",
                        error.name ?? "", error.object ?? "", error.request ?? "", error.hint ?? "",
                    ])
            }
        }
        hasRun = false
    }

    /// Restores devices still bound; returns a line for each that could not be restored.
    public func restore() -> [String] {
        guard let bound, let binder else { return [] }
        self.bound = nil
        return binder.restore(bound)
    }

    private func bind(_ names: [String]) throws(ErrorValue) {
        guard names.count <= BindingServer.mostDevices else {
            throw ErrorValue(kind: .usage, "a run binds at most \(BindingServer.mostDevices) devices")
        }
        guard bound == nil, let binder else {
            throw ErrorValue(kind: .usage, "this run has bound its devices already")
        }
        var addresses: [PCIAddress] = []
        for name in names {
            guard let address = PCIAddress(name) else { throw ErrorValue(kind: .usage, "no PCI address to bind") }
            try permit(address)
            addresses.append(address)
        }
        bound = try binder.bind(addresses, owner: .run)
    }

    private func emit(_ line: String) {
        if hasRun { send(.line, [line]) } else { print(line) }
    }

    /// Does not block where the other side does not read.
    private func send(_ kind: BindingMessage.Kind, _ fields: [String] = []) {
        let bytes = BindingMessage.bytes(kind, fields)
        _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    }
}

/// Binds in the run's own process, for a simulated kernel, which no other program uses.
final class OwnBindings: BindingBroker {
    private let binder: (_ emit: @escaping (String) -> Void) -> DeviceBinder
    private var bound: BoundDevices?

    init(_ binder: @escaping (_ emit: @escaping (String) -> Void) -> DeviceBinder) { self.binder = binder }

    func bind(_ addresses: [PCIAddress], emit: (String) -> Void) throws(ErrorValue) {
        bound = try withoutActuallyEscaping(emit) { emit throws(ErrorValue) in
            try binder(emit).bind(addresses, owner: .run)
        }
    }

    func restore(emit: (String) -> Void) -> [String] {
        guard let bound else { return [] }
        self.bound = nil
        return withoutActuallyEscaping(emit) { binder($0).restore(bound) }
    }
}
