import CKernel
import Kernel

/// Passes calls on, or refuses them all with an errno.
final class RefusingKernel: Kernel {
    private let kernel: any Kernel
    var refusal: Errno?

    init(_ kernel: any Kernel) { self.kernel = kernel }

    var notModelled: [(call: String, count: Int)] { kernel.notModelled }
    var open: [String] { kernel.open }

    private func call(_ body: () -> Int) -> Int { refusal?.result ?? body() }
    private func verb<Value>(_ body: () throws(Errno) -> Value) throws(Errno) -> Value {
        if let refusal { throw refusal }
        return try body()
    }

    func open(_ path: String, flags: Int32) -> Int { call { kernel.open(path, flags: flags) } }
    func close(_ descriptor: Int32) -> Int { call { kernel.close(descriptor) } }
    func ioctl(_ descriptor: Int32, _ request: UInt, _ argument: IoctlArgument) -> Int {
        call { kernel.ioctl(descriptor, request, argument) }
    }
    func read(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
        call { kernel.read(descriptor, buffer) }
    }
    func write(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer) -> Int {
        call { kernel.write(descriptor, buffer) }
    }
    func pread(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
        call { kernel.pread(descriptor, buffer, at: offset) }
    }
    func pwrite(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer, at offset: UInt64) -> Int {
        call { kernel.pwrite(descriptor, buffer, at: offset) }
    }
    func lseek(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int {
        call { kernel.lseek(descriptor, offset, whence) }
    }
    func memfd(flags: UInt32) -> Int { call { kernel.memfd(flags: flags) } }
    func truncate(_ descriptor: Int32, _ length: Int64) -> Int { call { kernel.truncate(descriptor, length) } }
    func fcntl(_ descriptor: Int32, _ command: Int32, _ argument: Int) -> Int {
        call { kernel.fcntl(descriptor, command, argument) }
    }
    func poll(_ descriptor: Int32, _ events: Int16) -> Int { call { kernel.poll(descriptor, events) } }
    func eventfd(_ count: UInt32) -> Int { call { kernel.eventfd(count) } }
    func mmap(length: Int, protection: Int32, flags: Int32, _ descriptor: Int32, at offset: UInt64) throws(Errno)
        -> UnsafeMutableRawPointer
    {
        try verb { () throws(Errno) in
            try kernel.mmap(length: length, protection: protection, flags: flags, descriptor, at: offset)
        }
    }
    func munmap(_ address: UnsafeMutableRawPointer, length: Int) -> Int {
        call { kernel.munmap(address, length: length) }
    }
    func readlink(_ path: String) throws(Errno) -> String { try verb { () throws(Errno) in try kernel.readlink(path) } }
    func list(_ path: String) throws(Errno) -> [String] { try verb { () throws(Errno) in try kernel.list(path) } }
    func monotonic() -> UInt64 { kernel.monotonic() }
    func sleep(nanoseconds: UInt64) -> Int { call { kernel.sleep(nanoseconds: nanoseconds) } }
    func ibv_get_device_list() throws(Errno) -> [UnsafeMutablePointer<ibv_device>] {
        try verb { () throws(Errno) in try kernel.ibv_get_device_list() }
    }
    func ibv_open_device(_ device: UnsafeMutablePointer<ibv_device>) throws(Errno)
        -> UnsafeMutablePointer<ibv_context>
    { try verb { () throws(Errno) in try kernel.ibv_open_device(device) } }
    func ibv_close_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) {
        try verb { () throws(Errno) in try kernel.ibv_close_device(context) }
    }
    func ibv_query_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> ibv_device_attr {
        try verb { () throws(Errno) in try kernel.ibv_query_device(context) }
    }
    func ibv_query_port(_ context: UnsafeMutablePointer<ibv_context>, _ port: UInt8) throws(Errno) -> ibv_port_attr {
        try verb { () throws(Errno) in try kernel.ibv_query_port(context, port) }
    }
    func ibv_alloc_pd(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> UnsafeMutablePointer<ibv_pd> {
        try verb { () throws(Errno) in try kernel.ibv_alloc_pd(context) }
    }
    func ibv_dealloc_pd(_ pd: UnsafeMutablePointer<ibv_pd>) throws(Errno) {
        try verb { () throws(Errno) in try kernel.ibv_dealloc_pd(pd) }
    }
    func ibv_reg_mr(_ pd: UnsafeMutablePointer<ibv_pd>, _ address: UInt64, _ length: UInt64, _ access: Int32)
        throws(Errno) -> UnsafeMutablePointer<ibv_mr>
    { try verb { () throws(Errno) in try kernel.ibv_reg_mr(pd, address, length, access) } }
    func ibv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        try verb { () throws(Errno) in
            try kernel.ibv_reg_dmabuf_mr(pd, offset, length, iova, descriptor, access)
        }
    }
    func ibv_dereg_mr(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) {
        try verb { () throws(Errno) in try kernel.ibv_dereg_mr(mr) }
    }
    func ibv_reg_mr_ex(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: MRInitAttributes) throws(Errno)
        -> UnsafeMutablePointer<ibv_mr>
    { try verb { () throws(Errno) in try kernel.ibv_reg_mr_ex(pd, attributes) } }
    func ibv_alloc_dmah(_ context: UnsafeMutablePointer<ibv_context>, _ attributes: DMAHInitAttributes) throws(Errno)
        -> UnsafeMutableRawPointer
    { try verb { () throws(Errno) in try kernel.ibv_alloc_dmah(context, attributes) } }
    func ibv_dealloc_dmah(_ dmah: UnsafeMutableRawPointer) throws(Errno) {
        try verb { () throws(Errno) in try kernel.ibv_dealloc_dmah(dmah) }
    }
    func mlx5dv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32, _ mlx5Access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        try verb { () throws(Errno) in
            try kernel.mlx5dv_reg_dmabuf_mr(pd, offset, length, iova, descriptor, access, mlx5Access)
        }
    }
    func mkeyContext(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) -> [UInt8] {
        try verb { () throws(Errno) in try kernel.mkeyContext(mr) }
    }
}
