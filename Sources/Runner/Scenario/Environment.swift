import Devices
import Kernel

/// Conditions that a result depends on besides the scenario, stored with it as names and text.
struct Environment {
    private(set) var facts: [String: String]
    private(set) var warnings: [String] = []

    /// `machine` describes the machine; `nic` and `functions` are the devices that the scenario uses.
    init(machine: [String: String], nic: String?, functions: [PCIAddress], kernel: any Kernel) {
        facts = machine
        if let nic {
            let device = "/sys/class/infiniband/\(nic)"
            note("\(nic).firmware", "\(device)/fw_ver", kernel)
            note("\(nic).board", "\(device)/board_id", kernel)
            note("\(nic).rate", "\(device)/ports/1/rate", kernel)
            notePCI(nic, "\(device)/device", kernel)
        }
        for function in functions {
            let path = "/sys/bus/pci/devices/\(function)"
            notePCI("\(function)", path, kernel)
            let driver = try? kernel.readlink("\(path)/driver").split(separator: "/").last
            facts["\(function).driver"] = driver.map(String.init)
        }
        if let nic { checkNode(nic, kernel) }
    }

    /// Adds a file's content; nothing where it does not exist.
    private mutating func note(_ name: String, _ path: String, _ kernel: any Kernel) {
        guard let text = try? kernel.contents(of: path) else { return }
        let line = text.split(separator: "\n").first.map(String.init) ?? ""
        if !line.isEmpty { facts[name] = line }
    }

    private mutating func notePCI(_ name: String, _ path: String, _ kernel: any Kernel) {
        note("\(name).node", "\(path)/numa_node", kernel)
        note("\(name).link.speed", "\(path)/current_link_speed", kernel)
        note("\(name).link.width", "\(path)/current_link_width", kernel)
    }

    private mutating func checkNode(_ nic: String, _ kernel: any Kernel) {
        guard let place = facts["\(nic).node"], let here = facts["cpu.node"], let cpu = facts["cpu"],
            place != here, place != "-1"
        else { return }
        let path = "/sys/class/infiniband/\(nic)/device/local_cpulist"
        let near = (try? kernel.contents(of: path))?.split(separator: "\n").first ?? "unknown"
        warnings.append(
            "CPU \(cpu) is on node \(here), \(nic) on node \(place): latencies and rates suffer; pin with --cpu (its node's "
                + "CPUs: \(near))")
    }
}
