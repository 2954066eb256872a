import CKernel
import Glibc
import Kernel

/// How a device's interrupts reach a program. drivers/vfio/pci/vfio_pci_intrs.c
struct Interrupts {
    /// The indices of VFIO_DEVICE_SET_IRQS.
    enum Kind: UInt32 { case line, msi, msix, error, request }

    /// INTx as it is used (struct vfio_pci_irq_ctx).
    struct Line {
        var trigger: EventFile?
        var unmask: EventWatch?
        var isMasked: Bool
    }
    /// Which of INTx, MSI and MSI-X is enabled.
    var type: Kind? {
        if line != nil { return .line }
        return message
    }
    var line: Line?
    fileprivate(set) var message: Kind?
    /// How many messages were asked for; MSI-X gets more as they are wanted (pci_msix_alloc_irq_at).
    fileprivate var allocated: UInt32 = 0
    fileprivate var vectors: [UInt32: EventFile] = [:]
    fileprivate var error: EventFile?
    fileprivate var request: EventFile?
    /// The virtual INTx disable bit (virq_disabled).
    var isDisabled = false
    /// The most messages that MSI was ever enabled with (msi_qmax).
    fileprivate(set) var messagesLog2: UInt8 = 0
}

extension VFIODevice {
    /// What VFIO_DEVICE_SET_IRQS brings behind its structure.
    fileprivate enum Signal {
        case none
        case flags([UInt8])
        case events([Int32])
    }

    /// vfio_pci_get_irq_count
    func interruptCount(_ kind: Interrupts.Kind) -> UInt32 {
        switch kind {
        case .line: config[PCI_INTERRUPT_PIN] == 0 ? 0 : 1
        case .msi:
            function.config.msi.map {
                1 << ((UInt32(function.config.bytes[$0 + PCI_MSI_FLAGS]) & UInt32(PCI_MSI_FLAGS_QMASK)) >> 1)
            } ?? 0
        case .msix: function.config.vectorsOfMSIX
        case .error, .request: 1
        }
    }

    /// vfio_pci_ioctl_get_irq_info
    func interruptInformation(_ user: UserMemory) throws(Errno) -> Int {
        var info = try user.load(vfio_irq_info.self)
        guard info.argsz >= UInt32(offsetofend_vfio_irq_info_count) else { throw Errno(EINVAL) }
        guard let kind = Interrupts.Kind(rawValue: info.index) else { throw Errno(EINVAL) }
        info.flags = UInt32(VFIO_IRQ_INFO_EVENTFD)
        info.count = interruptCount(kind)
        switch kind {
        case .line: info.flags |= UInt32(VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED)
        // pci_msix_can_alloc_dyn
        case .msix where function.config.msix != nil: break
        default: info.flags |= UInt32(VFIO_IRQ_INFO_NORESIZE)
        }
        try user.store(info)
        return 0
    }

    /// vfio_pci_ioctl_set_irqs, vfio_main.c:vfio_set_irqs_validate_and_prepare
    func setInterrupts(_ user: UserMemory) throws(Errno) -> Int {
        let request = try user.load(vfio_irq_set.self)
        let known = UInt32(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK)
        guard request.argsz >= UInt32(offsetofend_vfio_irq_set_count) else { throw Errno(EINVAL) }
        guard let kind = Interrupts.Kind(rawValue: request.index) else { throw Errno(EINVAL) }
        guard request.count < UInt32.max - request.start else { throw Errno(EINVAL) }
        guard request.flags & ~known == 0 else { throw Errno(EINVAL) }
        let count = interruptCount(kind)
        guard request.start < count, request.start + request.count <= count else { throw Errno(EINVAL) }
        let signal = try loadSignal(user, request)
        let vectors = request.start..<(request.start + request.count)
        switch (kind, Int(request.flags) & VFIO_IRQ_SET_ACTION_TYPE_MASK) {
        case (.line, VFIO_IRQ_SET_ACTION_MASK): try maskLine(vectors, signal)
        case (.line, VFIO_IRQ_SET_ACTION_UNMASK): try unmaskLine(vectors, signal)
        case (.line, VFIO_IRQ_SET_ACTION_TRIGGER): try triggerLine(vectors, signal)
        case (.msi, VFIO_IRQ_SET_ACTION_TRIGGER), (.msix, VFIO_IRQ_SET_ACTION_TRIGGER):
            try triggerMessages(kind, vectors, signal)
        case (.error, VFIO_IRQ_SET_ACTION_TRIGGER): try trigger(\.error, vectors, signal)
        case (.request, VFIO_IRQ_SET_ACTION_TRIGGER): try trigger(\.request, vectors, signal)
        default: throw Errno(ENOTTY)
        }
        return 0
    }

    private func loadSignal(_ user: UserMemory, _ request: vfio_irq_set) throws(Errno) -> Signal {
        let size: Int
        switch Int(request.flags) & VFIO_IRQ_SET_DATA_TYPE_MASK {
        case VFIO_IRQ_SET_DATA_NONE: return .none
        case VFIO_IRQ_SET_DATA_BOOL: size = 1
        case VFIO_IRQ_SET_DATA_EVENTFD: size = 4
        default: throw Errno(EINVAL)
        }
        let head = offsetofend_vfio_irq_set_count
        guard Int(request.argsz) - head >= Int(request.count) * size else { throw Errno(EINVAL) }
        let bytes = try user.bytes(at: UInt64(head), count: Int(request.count) * size)
        guard size == 4 else { return .flags(bytes) }
        return bytes.withUnsafeBytes { bytes in
            .events(
                (0..<Int(request.count)).map {
                    bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self)
                })
        }
    }

    // MARK: INTx

    /// vfio_pci_set_intx_trigger
    private func triggerLine(_ vectors: Range<UInt32>, _ signal: Signal) throws(Errno) {
        if interrupts.line != nil, vectors.isEmpty, case .none = signal {
            disableLine()
            return
        }
        guard interrupts.type == .line || interrupts.type == nil, vectors == 0..<1 else { throw Errno(EINVAL) }
        if case .events(let descriptors) = signal {
            let event = descriptors[0] < 0 ? nil : try kernel.event(descriptors[0])
            guard interrupts.line == nil else {
                interrupts.line?.trigger = event
                return
            }
            // vfio_intx_enable
            interrupts.line = Interrupts.Line(trigger: event, isMasked: interrupts.isDisabled)
            interruptLine()
            return
        }
        guard interrupts.line != nil else { throw Errno(EINVAL) }
        if signal.isRaised(0) { sendLine() }
    }

    // vfio_intx_disable
    private func disableLine() {
        interrupts.line?.unmask?.end()
        interrupts.line = nil
    }

    // vfio_send_intx_eventfd
    private func sendLine() {
        if !interrupts.isDisabled { interrupts.line?.trigger?.signal() }
    }

    /// vfio_pci_set_intx_mask
    private func maskLine(_ vectors: Range<UInt32>, _ signal: Signal) throws(Errno) {
        guard interrupts.line != nil, vectors == 0..<1 else { throw Errno(EINVAL) }
        if case .events = signal { throw Errno(ENOTTY) }
        if signal.isRaised(0) { interrupts.line?.isMasked = true }
    }

    /// vfio_pci_set_intx_unmask
    private func unmaskLine(_ vectors: Range<UInt32>, _ signal: Signal) throws(Errno) {
        guard let line = interrupts.line, vectors == 0..<1 else { throw Errno(EINVAL) }
        guard case .events(let descriptors) = signal else {
            if signal.isRaised(0) { unmaskLine() }
            return
        }
        guard descriptors[0] >= 0 else {
            line.unmask?.end()
            interrupts.line?.unmask = nil
            return
        }
        let event = try kernel.event(descriptors[0])
        guard line.unmask?.isActive != true else { throw Errno(EBUSY) }
        // It may act at once.
        let watch = EventWatch(event) { [unowned self] in unmaskLine() }
        interrupts.line?.unmask = watch
    }

    /// vfio_pci_intx_unmask_handler: an interrupt that is still there is sent again, and stays masked.
    func unmaskLine() {
        guard let line = interrupts.line, line.isMasked, !interrupts.isDisabled else { return }
        if function.assertsLine { sendLine() } else { interrupts.line?.isMasked = false }
    }

    /// The virtual INTx disable bit was written.
    func disableLine(_ disabled: Bool) {
        guard disabled != interrupts.isDisabled else { return }
        interrupts.isDisabled = disabled
        if disabled { interrupts.line?.isMasked = true } else { unmaskLine() }
    }

    /// The device asserts its INTx. vfio_intx_handler masks it before it signals the eventfd.
    func interruptLine() {
        guard function.assertsLine, interrupts.line?.isMasked == false else { return }
        interrupts.line?.isMasked = true
        sendLine()
    }

    // MARK: Messages

    /// vfio_pci_set_msi_trigger
    private func triggerMessages(_ kind: Interrupts.Kind, _ vectors: Range<UInt32>, _ signal: Signal) throws(Errno) {
        if interrupts.type == kind, vectors.isEmpty, case .none = signal {
            disableMessages()
            return
        }
        guard interrupts.type == kind || interrupts.type == nil else { throw Errno(EINVAL) }
        if case .events(let descriptors) = signal {
            guard interrupts.type == nil else { return try setVectors(vectors, descriptors) }
            try enableMessages(kind, vectors.upperBound)
            do throws(Errno) {
                try setVectors(vectors, descriptors)
            } catch {
                disableMessages()
                throw error
            }
            return
        }
        guard interrupts.type == kind else { throw Errno(EINVAL) }
        for (index, vector) in vectors.enumerated() where signal.isRaised(index) {
            interrupts.vectors[vector]?.signal()
        }
    }

    // vfio_msi_enable, drivers/pci/msi/msi.c: __pci_enable_msi_range, __pci_enable_msix_range
    private func enableMessages(_ kind: Interrupts.Kind, _ count: UInt32) throws(Errno) {
        guard kind == .msi || count > 0 else { throw Errno(ERANGE) }
        guard function.config.powerState == 0 else { throw Errno(EINVAL) }
        guard count > 0 else { throw Errno(ERANGE) }
        interrupts.message = kind
        interrupts.allocated = count
        if kind == .msix { function.config.isMSIXEnabled = true }
        if kind == .msi { function.config.isMSIEnabled = true }
        if kind == .msi { interrupts.messagesLog2 = UInt8(32 - (count * 2 - 1).leadingZeroBitCount - 1) }
    }

    // vfio_msi_set_block: vectors that were set before the refused one are taken back
    private func setVectors(_ vectors: Range<UInt32>, _ descriptors: [Int32]) throws(Errno) {
        for (vector, descriptor) in zip(vectors, descriptors) {
            do throws(Errno) {
                try setVector(vector, descriptor)
            } catch {
                for vector in vectors.lowerBound...vector { interrupts.vectors[vector] = nil }
                throw error
            }
        }
    }

    // vfio_msi_set_vector_signal
    private func setVector(_ vector: UInt32, _ descriptor: Int32) throws(Errno) {
        interrupts.vectors[vector] = nil
        guard descriptor >= 0 else { return }
        guard interrupts.message == .msix || vector < interrupts.allocated else { throw Errno(EINVAL) }
        interrupts.vectors[vector] = try kernel.event(descriptor)
    }

    // vfio_msi_disable
    private func disableMessages() {
        interrupts.vectors = [:]
        interrupts.message = nil
        function.config.isMSIEnabled = false
        function.config.isMSIXEnabled = false
    }

    /// The device sends its first message, which is a write to memory.
    func interruptByMessage() {
        if function.config.isMSIEnabled, function.busMaster { interrupts.vectors[0]?.signal() }
    }

    // MARK: Errors and requests

    /// vfio_pci_set_ctx_trigger_single
    private func trigger(
        _ kind: WritableKeyPath<Interrupts, EventFile?>, _ vectors: Range<UInt32>, _ signal: Signal
    ) throws(Errno) {
        let event = interrupts[keyPath: kind]
        switch signal {
        case .none:
            guard let event else { throw Errno(EINVAL) }
            if vectors.isEmpty { interrupts[keyPath: kind] = nil } else { event.signal() }
        case .flags(let flags):
            guard !vectors.isEmpty else { throw Errno(EINVAL) }
            if flags[0] != 0 { event?.signal() }
        case .events(let descriptors):
            guard !vectors.isEmpty, descriptors[0] >= -1 else { throw Errno(EINVAL) }
            interrupts[keyPath: kind] = descriptors[0] == -1 ? nil : try kernel.event(descriptors[0])
        }
    }

    /// vfio_pci_core_disable, vfio_pci_core_close_device
    func forgetInterrupts() {
        disableLine()
        disableMessages()
        interrupts.isDisabled = false
        interrupts.error = nil
        interrupts.request = nil
    }
}

extension VFIODevice.Signal {
    /// Whether the vector is meant: DATA_NONE means all.
    fileprivate func isRaised(_ index: Int) -> Bool {
        switch self {
        case .none: true
        case .flags(let flags): flags[index] != 0
        case .events: false
        }
    }
}
