import Kernel

/// System calls made again.
extension Replay {
    /// Where the record opened `path`, what is opened now.
    func path(_ path: String) -> String { paths[path] ?? path }

    /// False where it is none. What it answers comes from the kernel that records.
    func system(_ name: String, _ arguments: ReplayArguments) -> Bool {
        let descriptor = arguments.int32(0)
        let most = UInt64(1 << 26)
        switch name {
        case "open": _ = kernel.open(path(arguments.text(0)), flags: arguments.int32(1))
        case "close": _ = kernel.close(descriptor)
        case "read", "pread":
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(min(arguments[2], most)), alignment: 16)
            defer { buffer.deallocate() }
            _ =
                name == "read"
                ? kernel.read(descriptor, buffer) : kernel.pread(descriptor, buffer, at: arguments[3])
        case "write":
            // sysfs takes text.
            let bytes = arguments.text(1).isEmpty ? arguments.bytes(1) : Array(arguments.text(1).utf8)
            _ = bytes.withUnsafeBytes { kernel.write(descriptor, $0) }
        case "fsync": _ = kernel.fsync(descriptor)
        case "mkdir": _ = kernel.mkdir(arguments.text(0))
        case "rename": _ = kernel.rename(arguments.text(0), to: arguments.text(1))
        case "unlink": _ = kernel.unlink(arguments.text(0))
        case "pwrite": _ = arguments.bytes(1).withUnsafeBytes { kernel.pwrite(descriptor, $0, at: arguments[3]) }
        case "lseek":
            _ = kernel.lseek(descriptor, Int64(bitPattern: arguments[1]), arguments.int32(2))
        case "memfd_create": _ = kernel.memfd(flags: UInt32(truncatingIfNeeded: arguments[1]))
        case "ftruncate": _ = kernel.truncate(descriptor, Int64(bitPattern: arguments[1]))
        case "fcntl":
            _ = kernel.fcntl(descriptor, arguments.int32(1), Int(truncatingIfNeeded: arguments[2]))
        case "poll": _ = kernel.poll(descriptor, Int16(truncatingIfNeeded: arguments[1]))
        case "eventfd": _ = kernel.eventfd(UInt32(truncatingIfNeeded: arguments[0]))
        case "mmap":
            _ = try? kernel.mmap(
                length: Int(truncatingIfNeeded: arguments[0]), protection: arguments.int32(1),
                flags: arguments.int32(2), arguments.int32(3), at: arguments[4])
        case "munmap":
            // More than was mapped would take memory of this program's.
            guard let address = UnsafeMutableRawPointer(bitPattern: UInt(arguments[0])),
                mayUnmap(arguments[0], arguments[1])
            else { return false }
            _ = kernel.munmap(address, length: Int(truncatingIfNeeded: arguments[1]))
        case "readlink": _ = try? kernel.readlink(arguments.text(0))
        case "getdents": _ = try? kernel.list(arguments.text(0))
        case "nanosleep": _ = kernel.sleep(nanoseconds: min(arguments[0], 60_000_000_000))
        default: return false
        }
        return true
    }
}
