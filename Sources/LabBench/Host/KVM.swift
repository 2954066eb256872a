import CKernel
import Glibc
import Kernel

/// The processor's own virtualization, by /dev/kvm.
public enum KVM {
    static let path = "/dev/kvm"
    // include/uapi/linux/kvm.h
    private static let getVersion: UInt = 0xae00, createMachine: UInt = 0xae01
    private static let version = 12

    /// Why KVM cannot create a machine; nil where it can, which does not yet prove that a guest runs in it.
    public static func refusal() -> String? {
        let device = open(path, O_RDWR | O_CLOEXEC)
        guard device >= 0 else { return Failure("open", Errno(errno), object: path).message }
        defer { close(device) }
        let answer = sys_ioctl_value(device, getVersion, 0)
        guard answer == version else { return "\(path): KVM_GET_API_VERSION answers \(answer), not \(version)" }
        let machine = sys_ioctl_value(device, createMachine, 0)
        if let error = Errno(result: machine) { return Failure("KVM_CREATE_VM", error, object: path).message }
        close(Int32(truncatingIfNeeded: machine))
        return nil
    }
}
