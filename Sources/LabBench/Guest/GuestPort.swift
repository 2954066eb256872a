import Glibc

/// A virtio-serial port of the guest, by the name that QEMU gives it.
enum GuestPort {
    /// Opens it: the descriptor, or a negated errno; nil where there is none of that name.
    static func open(_ name: String, _ flags: Int32 = 0) -> Int32? {
        for file in GuestDevices.names(in: "/sys/class/virtio-ports") {
            let text = LabFile.contents(of: "/sys/class/virtio-ports/\(file)/name") ?? []
            guard String(decoding: text, as: UTF8.self) == name + "\n" else { continue }
            let descriptor = Glibc.open("/dev/\(file)", O_RDWR | O_CLOEXEC | flags)
            return descriptor < 0 ? -errno : descriptor
        }
        return nil
    }
}
