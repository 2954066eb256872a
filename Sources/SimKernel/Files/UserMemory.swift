import CKernel
import Glibc
import Kernel

extension UInt64 {
    /// Whether it is a multiple of the page size, 4 KiB.
    var isPageAligned: Bool { self & 4095 == 0 }
    /// The next multiple of the page size; 0 where that is beyond 64 bits.
    var wholePages: UInt64 { (self &+ 4095) & ~4095 }
}

/// What an ioctl's third argument points at. Structures are read and written through their C declarations; bytes that
/// are not there give EFAULT, as copy_from_user and copy_to_user do.
struct UserMemory {
    let argument: IoctlArgument

    /// The argument as a number.
    var value: UInt {
        switch argument {
        case .none: return 0
        case .value(let value): return value
        case .memory(let bytes): return UInt(bitPattern: bytes.baseAddress)
        }
    }

    func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(Errno) {
        guard bytes.count > 0, let target = bytes.baseAddress else { return }
        switch argument {
        case .none: throw Errno(EFAULT)
        case .value(let address):
            guard sys_copy_from_address(target, UInt64(address) &+ offset, bytes.count) == 0 else {
                throw Errno(EFAULT)
            }
        case .memory(let user):
            let source = try UserMemory.part(user, offset, bytes.count)
            bytes.copyMemory(from: UnsafeRawBufferPointer(source))
        }
    }

    func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) throws(Errno) {
        guard bytes.count > 0, let source = bytes.baseAddress else { return }
        switch argument {
        case .none: throw Errno(EFAULT)
        case .value(let address):
            guard sys_copy_to_address(UInt64(address) &+ offset, source, bytes.count) == 0 else {
                throw Errno(EFAULT)
            }
        case .memory(let user): try UserMemory.part(user, offset, bytes.count).copyMemory(from: bytes)
        }
    }

    private static func part(_ user: UnsafeMutableRawBufferPointer, _ offset: UInt64, _ count: Int) throws(Errno)
        -> UnsafeMutableRawBufferPointer
    {
        guard offset <= UInt64(user.count), UInt64(count) <= UInt64(user.count) - offset else { throw Errno(EFAULT) }
        return UnsafeMutableRawBufferPointer(rebasing: user[Int(offset)..<(Int(offset) + count)])
    }

    func bytes(at offset: UInt64, count: Int) throws(Errno) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: count)
        var failure: Errno?
        result.withUnsafeMutableBytes { bytes in
            do throws(Errno) { try read(at: offset, into: bytes) } catch { failure = error }
        }
        if let failure { throw failure }
        return result
    }

    /// The first `count` bytes of a structure (all of it by default), zeros behind them.
    func load<Structure: BitwiseCopyable>(_ type: Structure.Type, at offset: UInt64 = 0, count: Int? = nil)
        throws(Errno) -> Structure
    {
        let size = MemoryLayout<Structure>.size
        var all = try bytes(at: offset, count: min(count ?? size, size))
        all.append(contentsOf: repeatElement(0, count: size - all.count))
        return all.withUnsafeBytes { $0.loadUnaligned(as: Structure.self) }
    }

    func store<Structure: BitwiseCopyable>(_ value: Structure, at offset: UInt64 = 0, count: Int? = nil)
        throws(Errno)
    {
        let size = min(count ?? MemoryLayout<Structure>.size, MemoryLayout<Structure>.size)
        var failure: Errno?
        withUnsafeBytes(of: value) { bytes in
            do throws(Errno) {
                try write(at: offset, UnsafeRawBufferPointer(rebasing: bytes[..<size]))
            } catch { failure = error }
        }
        if let failure { throw failure }
    }

    func store(_ bytes: [UInt8], at offset: UInt64) throws(Errno) {
        var failure: Errno?
        bytes.withUnsafeBytes { bytes in
            do throws(Errno) { try write(at: offset, bytes) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// lib/usercopy.c:check_zeroed_user as copy_struct_from_user uses it: a tail the kernel does not know must be zero.
    func checkZero(from start: UInt64, to end: UInt64) throws(Errno) {
        guard start < end else { return }
        var count = end - start
        var isShort = false
        if case .memory(let user) = argument {
            let there = UInt64(user.count) - min(start, UInt64(user.count))
            isShort = there < count
            count = min(there, count)
        }
        // A script can ask for 4 GiB, which a loop in Swift would take too long for.
        let result = sys_check_zero(UInt64(value) &+ start, count)
        if let errno = Errno(result: result) { throw errno }
        if isShort { throw Errno(EFAULT) }
    }

    /// strndup_user: the text before the NUL, which must come within `limit` bytes.
    func string(limit: Int) throws(Errno) -> String {
        var text: [UInt8] = []
        while true {
            let byte = try load(UInt8.self, at: UInt64(text.count))
            if byte == 0 { return String(decoding: text, as: UTF8.self) }
            text.append(byte)
            guard text.count < limit else { throw Errno(EINVAL) }
        }
    }
}

/// Memory of this process at an address, for pointers inside structures.
enum ProcessMemory {
    static func store<Structure: BitwiseCopyable>(_ value: Structure, at address: UInt64) throws(Errno) {
        let result = withUnsafeBytes(of: value) { bytes in
            bytes.baseAddress.map { sys_copy_to_address(address, $0, bytes.count) } ?? 0
        }
        guard result == 0 else { throw Errno(EFAULT) }
    }

    /// Copies to or from memory that may not be there; false then.
    static func transfer(_ bytes: UnsafeMutableRawBufferPointer, at address: UInt64, toMemory: Bool) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        let result =
            toMemory
            ? sys_copy_to_address(address, base, bytes.count) : sys_copy_from_address(base, address, bytes.count)
        return result == 0
    }

    /// Whether pin_user_pages would get these pages. The ends are read (and written); msync finds holes between them, but not
    /// an unreadable page.
    static func isAccessible(_ address: UInt64, _ length: UInt64, write: Bool) -> Bool {
        let (end, overflow) = address.addingReportingOverflow(length)
        let page = address & ~4095
        guard length > 0, !overflow, end < 1 << 47, let base = UnsafeMutableRawPointer(bitPattern: UInt(page)),
            msync(base, Int(end - page), MS_ASYNC) == 0
        else { return false }
        return [address, end - 1].allSatisfy { probe in
            var byte: UInt8 = 0
            guard sys_copy_from_address(&byte, probe, 1) == 0 else { return false }
            return !write || sys_copy_to_address(probe, &byte, 1) == 0
        }
    }
}
