import CKernel
public import Kernel

/// Whether a kernel has DMA_BUF_TPH, and which.
public enum TPHOutcome: Hashable, Sendable {
    /// It has, and hints can be set.
    case available(TPHFeature)
    /// It has not.
    case absent(reason: String)
    /// The feature may be there, but cannot be identified for certain; the reason says what was seen.
    case refused(reason: String)
}

/// Finds out what `choice` leaves open, through `device`: open, and bound to an iommufd or in a group with a container.
/// `object` names it in reasons.
///
/// Nothing is sent that could change the device's state. First PROBE|SET alone, which only asks whether a number can be
/// SET. A SET goes only to the one number that answered it on a kernel whose symbols include DMA_BUF_TPH's own, and
/// only of descriptor -1, which names no dma-buf in any revision. GET is never sent: the feature that has number 13 in
/// 7.3 would write through a pointer in the data.
public func identifyTPH(_ choice: TPHChoice, device: Int32, object: String, kernel: any Kernel) -> TPHOutcome {
    let identification = TPHIdentification(device: device, object: object, kernel: kernel)
    do throws(TPHRefusal) {
        switch choice {
        case .off: return .absent(reason: "DMA_BUF_TPH is switched off (--tph-abi off)")
        case .fixed(let abi, let number): return identification.stated(abi, number)
        case .named(let abi): return try identification.found(stated: abi)
        case .auto: return try identification.found(stated: nil)
        }
    } catch {
        return .refused(reason: error.reason)
    }
}

/// The end of an identification that cannot be sure.
struct TPHRefusal: Error {
    let reason: String

    /// `advised` adds the way out: the user may know what cannot be found out.
    init(_ reason: String, advised: Bool = true) {
        self.reason = reason + (advised ? "; if you know the revision and its number, give --tph-abi NAME@NUMBER" : "")
    }
}

/// One identification: which device is asked, and through which kernel.
struct TPHIdentification {
    let device: Int32
    let object: String
    let kernel: any Kernel

    /// What the user stated. One PROBE|SET finds out whether the kernel has that feature at all.
    func stated(_ abi: TPHABI, _ number: UInt32) -> TPHOutcome {
        guard TPHFeature.numbers.contains(number) else {
            return .refused(reason: "\(number) is not a number that DMA_BUF_TPH can have")
        }
        let answer = TPHAnswer(number: number, result: probe(number))
        if answer.errno == .noSuchRequest {
            return .absent(reason: "this kernel has no feature \(number) (\(answer.text) on \(object))")
        }
        let how = "stated by --tph-abi \(abi.name)@\(number); \(answer.text)"
        return .available(TPHFeature(abi: abi, number: number, how: how))
    }

    /// Number by PROBE|SET and kallsyms, structure by SETs of descriptor -1 and BTF, revision by kallsyms unless stated.
    func found(stated: TPHABI?) throws(TPHRefusal) -> TPHOutcome {
        let number: UInt32
        switch try scan() {
        case .none(let reason): return .absent(reason: reason)
        case .one(let found): number = found
        }
        let symbols = try corroborate(number)
        var probe = TPHLayoutProbe(number: number, self)
        let structure = try probe.run()
        let btf = try compareBTF(structure)
        var how = ["feature \(number) answers PROBE|SET, kallsyms has \(TPHSymbols.feature)", probe.steps, btf]
        let abi: TPHABI
        if let stated {
            guard stated.structure == structure else {
                throw TPHRefusal(
                    "feature \(number) of this kernel takes \(structure.description), but TPH ABI \(stated.name) has "
                        + "\(stated.structure.description) (\(probe.steps))", advised: false)
            }
            (abi, how) = (stated, how + ["the name is --tph-abi's"])
        } else {
            let (revision, why) = try TPHSymbols.revision(structure, symbols, number)
            (abi, how) = (revision, how + [why])
        }
        return .available(TPHFeature(abi: abi, number: number, how: how.joined(separator: "; ")))
    }

    // MARK: Number

    /// Where posted and merged revisions can be: above what released kernels use, and not far above.
    static let numbers = TPHFeature.numbers.lowerBound...31

    private enum Scan {
        case one(UInt32)
        case none(reason: String)
    }

    /// PROBE|SET of a header alone: no size and no data is looked at, nothing is done.
    func probe(_ number: UInt32) -> Int {
        var request = TPHRequest(number, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET)
        return request.send(to: device, kernel)
    }

    private func scan() throws(TPHRefusal) -> Scan {
        let answers = Self.numbers.map { TPHAnswer(number: $0, result: probe($0)) }
        let other = answers.filter { $0.errno != .noSuchRequest }
        let seen = other.map(\.text).joined(separator: ", ")
        // EINVAL: a feature without SET. ENODEV: ZPCI_ERROR on a device that is none of its.
        if let odd = other.first(where: { ![nil, .invalid, .noDevice, .notSupported].contains($0.errno) }) {
            throw TPHRefusal("\(object) answered unexpectedly: \(odd.text)")
        }
        if answers.allSatisfy({ $0.errno == .invalid }) {
            throw TPHRefusal(
                "\(object) answers EINVAL to PROBE|SET of every feature, as a device does that is not bound yet",
                advised: false)
        }
        // A feature that lacks its hardware is a candidate too: the one that answers 0 may then be another.
        let candidates = other.filter { $0.errno == nil || $0.errno == .notSupported }
        guard let candidate = candidates.first else {
            let numbers = "\(Self.numbers.lowerBound) to \(Self.numbers.upperBound)"
            let rest = other.isEmpty ? "" : ", but \(seen): a feature without SET"
            return .none(reason: "this kernel has no DMA_BUF_TPH: ENOTTY to PROBE|SET of features \(numbers)\(rest)")
        }
        guard candidates.count == 1 else {
            throw TPHRefusal("more than one feature may be DMA_BUF_TPH on \(object): \(seen)")
        }
        guard candidate.errno == nil else { throw TPHRefusal(lacksHardware(candidate)) }
        return .one(candidate.number)
    }

    private func lacksHardware(_ answer: TPHAnswer) -> String {
        func names(_ check: TPHABI.HardwareCheck) -> String {
            TPHABI.all.filter { $0.hardwareCheck == check }.map(\.name).joined(separator: ", ")
        }
        return "likely DMA_BUF_TPH of \(names(.requesterFirst)) (\(object) has no TPH requester capability) or of "
            + "\(names(.completerFirst)) (\(object) is no TPH completer, DevCap2 bits 13:12): \(answer.text)"
    }

    // MARK: Corroboration

    private func corroborate(_ number: UInt32) throws(TPHRefusal) -> Set<String> {
        let symbols: Set<String>
        do {
            symbols = try TPHSymbols.read(kernel)
        } catch {
            throw TPHRefusal(
                "feature \(number) can be SET, but whether it is DMA_BUF_TPH is unknown: /proc/kallsyms: \(error.name)")
        }
        guard symbols.contains(TPHSymbols.feature) else {
            throw TPHRefusal(
                "feature \(number) can be SET, but nothing says that it is DMA_BUF_TPH: /proc/kallsyms lacks "
                    + TPHSymbols.feature)
        }
        return symbols
    }

    /// A sentence for the report. Most kernels' BTF lacks the structure, which says nothing.
    private func compareBTF(_ structure: TPHStructure) throws(TPHRefusal) -> String {
        guard let type = BTF.structure("vfio_device_feature_dma_buf_tph", kernel) else {
            return "BTF was not readable or lacks the structure"
        }
        let layout = structure.layout
        guard type.size == layout.size, layout.fields.allSatisfy({ type.offsets[$0.name] == $0.offset }) else {
            let members = type.offsets.sorted { $0.value < $1.value }.map { "\($0.key) at \($0.value)" }
            throw TPHRefusal(
                "the kernel takes \(structure.description), but its BTF says \(type.size) bytes: "
                    + members.joined(separator: ", "))
        }
        return "BTF agrees"
    }
}

/// What a number said to PROBE|SET.
struct TPHAnswer {
    let number: UInt32
    let result: Int

    /// nil where the number is a feature that can be SET.
    var errno: Errno? { Errno(result: result) }
    var text: String { "PROBE|SET of feature \(number) answered \(errno?.name ?? String(result))" }
}
