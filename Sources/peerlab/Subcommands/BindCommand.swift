import ArgumentParser
import Commands
import Devices
import Glibc
import LiveKernel
import LuaKit
import Runner

/// The option for the folder of binding journals.
struct BindingFolder: ParsableArguments {
    @Option(
        name: .customLong("state"),
        help: ArgumentHelp(
            """
            Folder for the journals of bound devices; default: $XDG_STATE_HOME/peerlab/bindings, or /run/peerlab/bindings \
            where that cannot be written.
            """, valueName: "DIR"))
    var folder: String?

    /// Parses addresses in sysfs notation.
    static func addresses(_ texts: [String]) throws -> [PCIAddress] {
        try texts.map { text in
            guard let address = PCIAddress(text) else {
                throw ValidationError("'\(text)' is no PCI address, such as 0000:3b:00.0; `lspci -D` lists them")
            }
            return address
        }
    }

    /// The choice of `--bind`; nil without it.
    static func choice(_ texts: [String]) throws -> BindingChoice? {
        guard !texts.isEmpty else { return nil }
        if texts == ["auto"] { return .automatic }
        guard !texts.contains("auto") else { throw ValidationError("--bind takes addresses, or auto alone") }
        return .devices(try addresses(texts))
    }

    /// `making`: creates the folder where it is missing.
    func binder(making: Bool) throws -> DeviceBinder {
        DeviceBinder(kernel: LiveKernel(), folders: try Folders.bindings(folder, making: making)) {
            print($0, to: STDOUT_FILENO)
        }
    }

    /// Prints why something was not done; returns the exit code.
    static func tell(_ error: ErrorValue) -> ExitStatus {
        print("peerlab: \(error.message)", to: STDERR_FILENO)
        return error.kind == .usage ? .usage : .fail
    }
}

/// `peerlab bind`
struct BindCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bind", _superCommandName: "peerlab",
        abstract: "Bind devices of this machine to vfio-pci, until peerlab restore.",
        discussion: """
            Refuses devices that this machine needs: with a mounted file system, swap or a network interface that is up, \
            bridges, and those whose IOMMU group has others. How each device was is written down first.
            """)

    @OptionGroup var journal: BindingFolder

    @ArgumentParser.Argument(help: ArgumentHelp("PCI addresses.", valueName: "address"))
    var devices: [String]

    func run() throws {
        let addresses = try BindingFolder.addresses(devices)
        let binder = try journal.binder(making: true)
        do throws(ErrorValue) { _ = try binder.bind(addresses, owner: .user) } catch {
            throw ExitCode(BindingFolder.tell(error).rawValue)
        }
    }
}

/// `peerlab restore`
struct RestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", _superCommandName: "peerlab",
        abstract: "Bring bound devices back to the drivers they had, also after a crash.",
        discussion: """
            Devices of a run that goes on are left to it. Once all is as it was the journal is removed; what fails keeps \
            it, and can be tried again.
            """)

    @Flag(help: "Only show which devices are to be restored.")
    var list = false

    @Flag(help: "Only remove the journals of these devices, and leave their drivers as they are.")
    var forget = false

    @OptionGroup var journal: BindingFolder

    @ArgumentParser.Argument(
        help: ArgumentHelp("PCI addresses; all that have a journal where none is given.", valueName: "address"))
    var devices: [String] = []

    func run() throws {
        let named = try BindingFolder.addresses(devices)
        guard !forget || !named.isEmpty else { throw ValidationError("--forget wants the devices named") }
        let binder = try journal.binder(making: false)
        var worst = ExitStatus.pass
        do throws(ErrorValue) {
            let addresses = try named.isEmpty ? binder.pending() : named
            if addresses.isEmpty { print("nothing to restore", to: STDOUT_FILENO) }
            for address in addresses {
                do throws(ErrorValue) { try work(binder, address) } catch { worst = BindingFolder.tell(error) }
            }
        } catch { worst = BindingFolder.tell(error) }
        throw ExitCode(worst.rawValue)
    }

    private func work(_ binder: DeviceBinder, _ address: PCIAddress) throws(ErrorValue) {
        if list {
            print(try binder.description(of: address), to: STDOUT_FILENO)
        } else if forget {
            try binder.forget(address)
        } else {
            try binder.restore(address)
        }
    }
}
