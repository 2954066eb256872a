public import Devices
public import Kernel
import LuaKit

/// Finds the TPH feature's number and layout, once for a run; the user may choose them.
public final class TPHResolver {
    /// The value of `--tph-abi`.
    public let choice: TPHChoice
    private var outcome: TPHOutcome?
    /// Called with the feature when it is found, so that traces can decode it.
    public var found: (Feature) -> Void = { _ in }

    /// Does not call the kernel yet.
    public init(_ choice: TPHChoice) { self.choice = choice }

    /// The feature, where it was found already.
    public var known: TPHFeature? {
        if case .available(let feature)? = outcome { return feature }
        return nil
    }

    /// The result so far, for the report; nil where no script needed the feature.
    public var summary: String? {
        switch outcome {
        case .available(let feature): "TPH ABI \(feature.abi.name) at feature \(feature.number) (\(feature.how))"
        case .absent(let reason), .refused(let reason): "TPH: \(reason)"
        case nil: nil
        }
    }

    /// Asks the kernel, through an open and bound device, unless that was done before.
    public func resolve(device: Int32, object: String, kernel: any Kernel) -> TPHOutcome {
        if let outcome { return outcome }
        let outcome = identifyTPH(choice, device: device, object: object, kernel: kernel)
        self.outcome = outcome
        if case .available(let feature) = outcome { found(feature.abi.feature(number: feature.number)) }
        return outcome
    }

    /// The feature, or an error with the reason why there is none; `function` is the one that the script called.
    func feature(device: Int32, object: String, kernel: any Kernel, for function: String) throws -> TPHFeature {
        switch resolve(device: device, object: object, kernel: kernel) {
        case .available(let feature): return feature
        case .absent(let reason):
            throw Failure("VFIO_DEVICE_FEATURE DMA_BUF_TPH SET", .noSuchRequest, object: object, hint: reason)
        case .refused(let reason):
            throw ErrorValue(kind: .argument, "\(function): not sent: \(reason)")
        }
    }
}
