import CKernel
import Glibc
public import Kernel

/// DMA_BUF_TPH as one kernel has it.
public struct TPHFeature: Hashable, Sendable {
    /// The revision.
    public let abi: TPHABI
    /// The feature's number on this kernel, 13 to 65535.
    public let number: UInt32
    /// How both were found out, for the report.
    public let how: String

    /// The numbers it can have: those below are other features' in released kernels (a SET of 12 changes the device's
    /// state), and the number has 16 bits.
    static let numbers: ClosedRange<UInt32> = 13...65535

    /// A feature that was identified as `how` says.
    public init(abi: TPHABI, number: UInt32, how: String) {
        precondition(Self.numbers.contains(number), "\(number) is not a number that DMA_BUF_TPH can have")
        self.abi = abi
        self.number = number
        self.how = how
    }
}

/// Why a hint was not set.
public enum TPHError: Error, Sendable {
    /// The revision cannot carry it; nothing was sent.
    case abi(TPHABIError)
    /// The kernel refused it.
    case kernel(Failure)

    /// One line.
    public var message: String {
        switch self {
        case .abi(let error): error.message
        case .kernel(let failure): failure.message
        }
    }
}

/// Sets the hint of `dmabuf`, or drops it (nil), through the open, bound device that exported it. `object` names the
/// dma-buf in errors. An importer that is registered already keeps what it read at its registration.
public func setTPH(
    _ hint: TPHHint?, dmabuf: Int32, device: Int32, feature: TPHFeature, object: String, kernel: any Kernel
) throws(TPHError) {
    let data: [UInt8]
    do { data = try feature.abi.encode(descriptor: dmabuf, hint: hint) } catch { throw .abi(error) }
    var request = TPHRequest(feature.number, VFIO_DEVICE_FEATURE_SET, data)
    // v7 and later wait for the reservation lock; a signal ends the wait before anything is changed.
    var result: Int
    repeat { result = request.send(to: device, kernel) } while result == -Int(EINTR)
    guard let errno = Errno(result: result) else { return }
    let text = request.text(feature.abi.feature(number: feature.number))
    throw .kernel(Failure("VFIO_DEVICE_FEATURE DMA_BUF_TPH SET", errno, object: object, request: text))
}
