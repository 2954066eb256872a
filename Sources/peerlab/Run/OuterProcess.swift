import ArgumentParser
import Bindings
import CKernel
import Commands
import Devices
import Glibc
import Kernel
import LiveKernel
import LuaKit
import Runner

/// Devices of this machine that may be bound for a run, by the user's command line.
struct BindingRights {
    private let choice: BindingChoice
    private let permissions: Permissions

    /// nil where no devices are to be bound.
    init?(_ choice: BindingChoice?, _ options: GrantOptions) throws {
        guard let choice else { return nil }
        self.choice = choice
        permissions = Permissions(try options.grants(on: "host"), ask: Terminal().map(GrantOptions.question))
    }

    /// Throws for a device that is not granted; for `--bind` with addresses, for any other device.
    func permit(_ address: PCIAddress) throws(ErrorValue) {
        switch choice {
        case .automatic: try permissions.permit(device: "\(address)", "--bind auto")
        case .devices(let named):
            guard !named.contains(address) else { return }
            throw ErrorValue(kind: .permission, "--bind does not name \(address)")
        }
    }
}

/// The process that stays unconfined while the run continues in a confined child. Only it changes drivers and writes
/// the binding journal. It passes signals on; when the run has ended in whatever way, it restores devices, removes
/// files and exits as the run did. Where it is killed, the run dies too, and `peerlab restore` can use the journal.
enum OuterProcess {
    /// Returns in the child, with the client for binding devices; nil without `rights`. In the parent, `atEnd` gets the
    /// child's exit code, or 128 + the signal that ended it, and returns the final exit code. Call it while this
    /// program has one thread.
    static func goOnInside(_ rights: BindingRights?, atEnd: (Int32) -> Int32) throws -> BindingClient? {
        let folders: [String]
        do throws(Failure) { folders = try rights == nil ? [] : Folders.bindings(nil, making: true) } catch {
            _ = atEnd(ExitStatus.usage.rawValue)
            throw error
        }
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue)
        let inner = rights == nil || socketpair(AF_UNIX, kind, 0, &ends) == 0 ? process_succeed() : -Int(errno)
        if let errno = Errno(result: inner) {
            _ = atEnd(ExitStatus.usage.rawValue)
            throw ValidationError("the run has no process of its own: \(errno.message) (\(errno.name))")
        }
        if inner == 0 {
            process_tell_lack_of_memory()
            guard rights != nil else { return nil }
            close(ends[0])
            return BindingClient(ends[1])
        }
        var problems: [String] = []
        var code: Int32
        if let rights {
            close(ends[1])
            let server = BindingServer(
                ends[0], permit: { address throws(ErrorValue) in try rights.permit(address) },
                binder: { emit in
                    DeviceBinder(
                        kernel: LiveKernel(), folders: folders,
                        isInterrupted: { process_was_asked_to_end() != 0 }, emit: emit)
                }, print: { print("  \($0)", to: STDOUT_FILENO) })
            server.serve()
            // The child may have closed the socket while it still has devices open, so its end is awaited before they
            // are restored.
            code = process_end_of_successor()
            problems = server.restore()
        } else {
            code = process_end_of_successor()
        }
        for problem in problems { print("  LEFT BOUND: \(problem)", to: STDERR_FILENO) }
        code = atEnd(code)
        if !problems.isEmpty, code == 0 { code = ExitStatus.fail.rawValue }
        throw ExitCode(code)
    }
}
