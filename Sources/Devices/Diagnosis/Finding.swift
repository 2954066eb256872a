/// One thing that was found out about a machine.
public struct Finding: Sendable, Equatable {
    /// What it means.
    public enum State: String, Sendable, CaseIterable {
        /// As it should be.
        case fine = "ok"
        /// Worth knowing; nothing fails because of it.
        case note
        /// It could not be read, or was not tried, so nothing is said of it.
        case unread
        /// Something cannot be done because of it: see ``Finding/stops``.
        case obstacle
    }

    /// What is done with a machine: a scenario's `needs`.
    public enum Purpose: String, Sendable, CaseIterable {
        /// Opening a device through VFIO.
        case vfio
        /// Exporting its BARs as dma-bufs.
        case export = "vfio.dma_buf"
        /// Hints of a dma-buf (DMA_BUF_TPH), and requests that carry them.
        case hints = "vfio.dma_buf_tph"
        /// /dev/iommu.
        case iommufd
        /// /dev/vfio/vfio.
        case type1
        /// An RDMA device.
        case rdma
        /// Registering a dma-buf with it.
        case registration = "rdma.reg_dmabuf_mr"
        /// Making DMA handles, by which a program gives a region a hint of its own.
        case handles = "rdma.dmah"
        /// The importer in the kernel, and a way from its device to an exporter.
        case importer
    }

    /// The part of the machine.
    public enum Area: String, Sendable, CaseIterable {
        case kernel, iommu, vfio, devices, candidates, nics, importer, routes, hints, limits
    }

    /// Names this kind of finding, for programs: "iommu.off". Stays the same between versions.
    public let id: String
    /// See ``Area``.
    public let area: Area
    /// What it is about: "0000:3b:00.0", "mlx5_0", "mlx5_0 -> 0000:01:00.0"; empty for the machine.
    public let subject: String
    /// See ``State``.
    public let state: State
    /// What was found.
    public let what: String
    /// More of it, such as the hops of a way; empty where there is none.
    public let detail: String
    /// Why it matters; empty where ``what`` says so.
    public let why: String
    /// The exact next commands, or what to do where no command does it.
    public let next: [String]
    /// What cannot be done because of it; of an unread one, what may not.
    public let stops: Set<Purpose>

    init(
        _ id: String, _ area: Area, _ subject: String, _ state: State, _ what: String, detail: String = "",
        why: String = "", next: [String] = [], stops: Set<Purpose> = []
    ) {
        self.id = id
        self.area = area
        self.subject = subject
        self.state = state
        self.what = what
        self.detail = detail
        self.why = why
        self.next = next
        self.stops = stops
    }

    /// One about the machine.
    init(
        _ id: String, _ area: Area, _ state: State, _ what: String, why: String = "", next: [String] = [],
        stops: Set<Purpose> = []
    ) {
        self.init(id, area, "", state, what, why: why, next: next, stops: stops)
    }
}

extension Finding {
    /// The same as it concerns one who uses just this device: what stops something is an obstacle, though another device can.
    public var ofUsed: Finding {
        guard state == .note, !stops.isEmpty else { return self }
        return Finding(id, area, subject, .obstacle, what, detail: detail, why: why, next: next, stops: stops)
    }

    /// The same, with other things that cannot be done because of it; an obstacle to none is a note.
    func stopping(_ stops: Set<Purpose>) -> Finding {
        Finding(
            id, area, subject, stops.isEmpty && state == .obstacle ? .note : state, what, detail: detail, why: why,
            next: next, stops: stops)
    }

    /// One line for a refusal: what, and the first command that follows from it.
    public var line: String {
        (subject.isEmpty ? "" : "\(subject): ") + what + (next.first.map { "; \($0)" } ?? "")
    }
}
