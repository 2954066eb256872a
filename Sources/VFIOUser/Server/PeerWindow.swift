import CKernel
import Kernel

/// A BAR of a function below a switch, by its bus addresses.
struct PeerWindow {
    let first, last: UInt64
    unowned let port: Port
    let bar: Int
    let upstream: Int
}

extension Server {
    /// Reads the bus addresses of all BARs again. Call it after anything that may have moved or disabled one.
    func findWindows() {
        windows = []
        for port in ports {
            guard let upstream = port.upstream, let function = port.function, function.isDecoding else { continue }
            for bar in 0..<6 {
                guard let first = function.address(ofBAR: bar) else { continue }
                let size = function.region(bar).size
                let (last, overflow) = first.addingReportingOverflow(UInt64(max(size, 1)) - 1)
                guard size > 0, !overflow else { continue }
                windows.append(PeerWindow(first: first, last: last, port: port, bar: bar, upstream: upstream))
            }
        }
    }

    /// The BAR of another function below the same switch at an address.
    func window(of address: UInt64, for port: Port) -> PeerWindow? {
        windows.first {
            $0.first <= address && address <= $0.last && $0.upstream == port.upstream && $0.port !== port
        }
    }

    /// The file behind a bus address in a peer's BAR, and the offset in it; nil for a BAR without a file.
    func place(of address: UInt64, in window: PeerWindow) -> FilePlace? {
        guard let region = window.port.function?.region(window.bar), region.file >= 0 else { return nil }
        var description = mappable()
        guard socket_mappable(region.file, &description) == 0 else { return nil }
        return FilePlace(file: MappedFile.Identity(description).file, offset: address - window.first)
    }

    /// Reads or writes a peer's BAR: its file, or its registers. False where its file is gone.
    func access(
        _ window: PeerWindow, _ address: UInt64, _ pointer: UnsafeMutableRawPointer, _ count: Int, isWrite: Bool
    ) -> Bool {
        let offset = Int(address - window.first)
        guard let function = window.port.function else { return false }
        let region = function.region(window.bar)
        guard count <= region.size - offset else { return false }
        if region.file >= 0, let file = window.port.file(window.bar, region), offset + count <= file.size {
            return isWrite
                ? copyGuarded(to: file.base + offset, from: pointer, count: count)
                : copyGuarded(to: pointer, from: file.base + offset, count: count)
        }
        if isWrite {
            function.write(window.bar, at: offset, UnsafeRawBufferPointer(start: pointer, count: count))
            window.port.hasWork = true
        } else {
            function.read(window.bar, at: offset, into: UnsafeMutableRawBufferPointer(start: pointer, count: count))
        }
        return true
    }
}

extension Port {
    /// A BAR's file, mapped once.
    fileprivate func file(_ bar: Int, _ region: RegionDescription) -> MappedFile? {
        if let file = files[bar] { return file }
        var description = mappable()
        guard socket_mappable(region.file, &description) == 0, description.is_writable != 0 else { return nil }
        let file = try? MappedFile(region.file, description)
        files[bar] = file
        return file
    }
}
