import CKernel
import FoundationEssentials
import Glibc
import Kernel

/// Modules, drivers, the network and the processors of a guest.
enum GuestDevices {
    static func load(_ module: GuestJob.Module) throws(GuestInit.Mistake) {
        if let sign = module.sign, access(sign, F_OK) == 0 { return }
        let descriptor = open(module.path, O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        let result =
            descriptor < 0 ? -Int(errno) : guest_load_module(descriptor, module.parameters.joined(separator: " "))
        guard result == 0 else {
            throw GuestInit.Mistake(
                text: "cannot load \(module.path): \(Errno(Int32(-result)).message): was it built for this kernel "
                    + "(by build-modules, one of the lab's scripts)?")
        }
    }

    static func bind(_ binding: GuestJob.Binding, _ say: (String) -> Void) throws(GuestInit.Mistake) {
        let driver = "/sys/bus/pci/drivers/\(binding.driver)"
        guard access(driver, F_OK) == 0 else {
            throw GuestInit.Mistake(
                text: "this kernel has no \(binding.driver); vfio-pci comes with CONFIG_VFIO_PCI=y, others are modules "
                    + "(mlx5_core: build-kernel, one of the lab's scripts, makes it with the kernel)")
        }
        var count = 0
        for address in names(in: "/sys/bus/pci/devices") {
            let device = "/sys/bus/pci/devices/\(address)"
            guard "\(number(device, "vendor")):\(number(device, "device"))" == binding.identity else { continue }
            GuestInit.put(binding.driver, at: "\(device)/driver_override")
            if access("\(device)/driver", F_OK) == 0 { GuestInit.put(address, at: "\(device)/driver/unbind") }
            GuestInit.put(address, at: "/sys/bus/pci/drivers_probe")
            guard access("\(driver)/\(address)", F_OK) == 0 else {
                throw GuestInit.Mistake(text: "\(binding.driver) did not take \(address)")
            }
            // Without this check scenarios would use rxe0 and not report the missing NIC.
            if binding.driver == "mlx5_core", access("\(device)/infiniband", F_OK) != 0 {
                say("mlx5_ib did not take the NIC: \(lastWords(of: "mlx5_ib") ?? "the kernel says nothing of it")")
            }
            count += 1
        }
        guard count > 0 else { throw GuestInit.Mistake(text: "the guest has no PCI device \(binding.identity)") }
    }

    /// The last line of the kernel's log that contains `word`.
    private static func lastWords(of word: String) -> String? {
        let log = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard log >= 0 else { return nil }
        defer { close(log) }
        var last: String?
        var buffer = [UInt8](repeating: 0, count: 8192)
        while true {
            // Each read gives a record: numbers, a semicolon, the text.
            let count = read(log, &buffer, buffer.count)
            if count < 0, errno == EPIPE || errno == EINTR { continue }
            guard count > 0 else { return last }
            let record = String(decoding: buffer[..<count], as: UTF8.self)
            guard let text = record.firstIndex(of: ";").map({ record[$0...].dropFirst() }) else { continue }
            let line = text.prefix { !$0.isNewline }
            if line.contains(word) { last = String(line) }
        }
    }

    /// An attribute such as "0x1af4\n", without prefix and line end.
    private static func number(_ device: String, _ attribute: String) -> String {
        let text = String(decoding: LabFile.contents(of: "\(device)/\(attribute)") ?? [], as: UTF8.self)
        return String(text.drop { $0 == "0" }.dropFirst().prefix { $0.isHexDigit })
    }

    /// Only RDMA needs the network, so a failure is reported and the guest goes on.
    static func startNetwork(_ say: (String) -> Void) {
        if guest_interface_up("lo", 0, 0) < 0 { say("cannot bring up lo") }
        guard
            let interface = names(in: "/sys/class/net").first(where: {
                access("/sys/class/net/\($0)/device", F_OK) == 0
            })
        else { return say("the guest has no network interface: no rxe0") }
        let up = guest_interface_up(interface, inet_addr("10.77.0.1"), inet_addr("255.255.255.0"))
        guard up == 0 else { return say("cannot bring up \(interface): \(Errno(Int32(-up)).message)") }
        let added = guest_add_rdma_link("rxe0", "rxe", interface)
        if added < 0 { say("cannot add rxe0: \(Errno(Int32(-added)).message): is CONFIG_RDMA_RXE built in?") }
    }

    /// Starts the other processors, which the kernel's command line keeps off for a reason given in LabMachine.swift.
    /// Calls `beat` while it waits.
    static func startProcessors(beat: () -> Void, _ say: (String) -> Void) {
        awaitClock(beat)
        for name in names(in: "/sys/devices/system/cpu") where name.hasPrefix("cpu") {
            let online = "/sys/devices/system/cpu/\(name)/online"
            guard LabFile.contents(of: online) == Array("0\n".utf8) else { continue }
            if !GuestInit.put("1", at: online) { say("cannot start a processor: \(online)") }
        }
    }

    /// Waits until the kernel has patched its clock's code for the last time: when it changes from the early to the
    /// measured time stamp counter, about a second after boot (arch/x86/kernel/tsc.c).
    private static func awaitClock(_ beat: () -> Void) {
        let clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
        for _ in 0..<250 where LabFile.contents(of: clock) == Array("tsc-early\n".utf8) {
            usleep(20_000)
            beat()
        }
    }

    /// The names in a folder, sorted.
    static func names(in folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    }
}
