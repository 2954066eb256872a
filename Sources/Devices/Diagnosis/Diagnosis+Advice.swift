import Kernel

/// Short answers for refusals: the same findings, the first that matters.
extension Diagnosis {
    /// Why no function that fits is free, and the command that changes it.
    public func advice(onBinding fits: (PCIFunction) -> Bool) -> String {
        if let unread = findings.first(where: { $0.id == "pci.unread" }) { return "\(unread.what): \(unread.why)" }
        // A NIC is what imports; it is not given away.
        let taken = Set(importers.map(\.address))
        let all = functions.filter { fits($0) && !isBridge($0.address) && !taken.contains($0.address) }
        if let bound = all.first(where: \.isVFIO) {
            return
                "\(bound.address) is one, which another option has or which is not granted (--allow device=\(bound.address))"
        }
        let check = try? BindingCheck(kernel: kernel)
        var kept: String?
        for function in all {
            let has =
                "\(function.address) is one, bound to \(function.driver.map { "the driver \($0)" } ?? "no driver")"
            // What was found is not asked again: this process may have lost the right to.
            if let found = findings.first(where: { $0.area == .candidates && $0.subject == "\(function.address)" }) {
                guard found.id == "candidate.free" else {
                    kept = kept ?? "\(function.address) is one, \(found.what)"
                    continue
                }
                return "\(has); \(steps(found.next))"
            }
            guard let objections = try? check?.objections(to: [function.address], assumingDriver: true) else {
                kept = kept ?? "\(has); what the machine needs of it could not be read"
                continue
            }
            guard let objection = objections.first else {
                return "\(has); \(steps(binding(function.address)))"
            }
            kept = kept ?? "\(has); \(objection.reason): \(objection.advice)"
        }
        let off = findings.first { $0.id == "iommu.off" && $0.state == .obstacle }
        if kept != nil, let off { return off.line }
        return kept ?? "no function of this machine is one; `peerlab doctor` lists what there is"
    }

    /// Commands one after the other; what is no command, such as another kernel, without quotes.
    private func steps(_ next: [String]) -> String {
        next.map { $0.hasPrefix("modprobe ") || $0.hasPrefix("peerlab ") ? "`\($0)`" : $0 }.joined(separator: ", then ")
    }

    /// What stands in the way of a purpose, beside what is said already; empty where nothing was found.
    public func advice(on purpose: Finding.Purpose, beside said: String) -> String {
        let concerned = findings.filter { $0.stops.contains(purpose) }
        // What is a note, as another device can do it, may be what stopped this one.
        let obstacle = concerned.first { $0.state == .obstacle } ?? concerned.first { $0.state == .note }
        guard let obstacle else { return "" }
        // The software device has no more than queue pairs.
        let next = obstacle.next.filter { purpose == .rdma || $0 != Diagnosis.softwareNIC }
        let command = next.first.map { "`\($0)`" } ?? "`peerlab doctor`"
        return said.contains(obstacle.what) ? command : "\(obstacle.what): \(command)"
    }
}
