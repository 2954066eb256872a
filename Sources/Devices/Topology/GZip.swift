import CZlib

/// Files that gzip(1) or the kernel has packed.
enum GZip {
    /// What is in a packed file; nil where it is none, is damaged, ends early, or holds more than `limit` bytes.
    static func unpacked(_ bytes: [UInt8], limit: Int) -> [UInt8]? {
        var stream = z_stream()
        // The largest window, and 16 for gzip's header (zlib.h).
        let bits: Int32 = 15 + 16, size = Int32(MemoryLayout<z_stream>.size)
        guard inflateInit2_(&stream, bits, ZLIB_VERSION, size) == Z_OK else { return nil }
        defer { inflateEnd(&stream) }
        var input = bytes, output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        return input.withUnsafeMutableBufferPointer { input in
            stream.next_in = input.baseAddress
            stream.avail_in = uInt(input.count)
            while true {
                let status = chunk.withUnsafeMutableBufferPointer { chunk in
                    stream.next_out = chunk.baseAddress
                    stream.avail_out = uInt(chunk.count)
                    return inflate(&stream, Z_NO_FLUSH)
                }
                let count = chunk.count - Int(stream.avail_out)
                guard status == Z_OK || status == Z_STREAM_END, count <= limit - output.count else { return nil }
                output += chunk[..<count]
                if status == Z_STREAM_END { return output }
            }
        }
    }
}
