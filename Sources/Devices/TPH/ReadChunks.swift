import Glibc
import Kernel

/// Reads a file to its end through the seam, at most `size` bytes a call, and hands on each chunk.
func readChunks(
    of path: String, size: Int, _ kernel: any Kernel, _ body: (UnsafeRawBufferPointer) -> Void
) throws(Errno) {
    let opened = kernel.open(path, flags: O_RDONLY | O_CLOEXEC)
    if let errno = Errno(result: opened) { throw errno }
    let file = OwnedDescriptor(Int32(opened), kernel)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
    defer { buffer.deallocate() }
    while true {
        let count = kernel.read(file.raw, buffer)
        if count == -Int(EINTR) { continue }
        if let errno = Errno(result: count) { throw errno }
        if count == 0 { return }
        body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
}
