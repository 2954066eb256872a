/// The machine that QEMU emulates for the lab bench, as QEMU's arguments.
public struct LabMachine: Sendable {
    /// The topology between the devices under test, which decides whether a kernel driver may map one's memory for
    /// the other.
    public enum Fabric: String, CaseIterable, Sendable {
        /// A host bridge that Linux knows to forward peer-to-peer requests.
        case bridge
        /// A host bridge that Linux does not know: no peer-to-peer route.
        case noRoute = "no-route"
        /// A switch, below a host bridge that Linux does not know.
        case belowSwitch = "below-switch"
    }

    /// The source of the guest's clock.
    public enum Clock: String, CaseIterable, Sendable {
        /// The host's clock: times also depend on the host's load.
        case host
        /// Instructions of the guest's one processor, two nanoseconds each: times are reproducible, whatever the host's
        /// load.
        case instructions
    }

    /// What executes the guest's instructions.
    public enum Accelerator: String, CaseIterable, Sendable {
        /// QEMU's translation (TCG).
        case tcg
        /// This machine's processor (KVM).
        case kvm
    }

    /// A PCI device to test in the guest; each sits alone below its port, so it can be reset and moved alone.
    public struct Device: Sendable {
        /// vendor:device in hexadecimal, as sysfs shows them.
        public let identity: String
        /// QEMU's name of the model, with its properties.
        public var model: String
        /// Size in bytes of a memory file of this program that is its BAR 2, as QEMU's object "bar"; at most one device
        /// of a machine has one.
        public var memory: Int?
        /// The driver to bind it to; nil for the one that the kernel chooses.
        public var driver: String? = "vfio-pci"
        /// Whether it is served by a process beside QEMU, over vfio-user; `model` is then its name there.
        public var isServed = false
    }

    /// The identity of the exporter, ivshmem.
    public static let exporter = "1af4:1110"
    /// The identity of the engine, edu.
    public static let engine = "1234:11e8"
    /// The identity of the PCI Express function, virtio-rng.
    public static let express = "1af4:1044"

    /// Our exporter in place of QEMU's: PCI Express, function level reset, power states and MSI-X. ``DeviceServer``
    /// serves it.
    public static let servedExporter = Device(identity: exporter, model: "exporter", isServed: true)
    /// Most bytes of an exporter's memory: the guest's firmware finds addresses for that much.
    public static let longestBAR: UInt64 = 256 << 30

    /// The identity of the emulated ConnectX.
    public static let connectx = "15b3:101d"
    /// The emulated ConnectX, bound to its own driver. ``DeviceServer`` serves it.
    public static let nic = Device(identity: connectx, model: "connectx", driver: "mlx5_core", isServed: true)

    /// The devices under test: the exporter has its BAR 2 in real memory; the engine can do DMA; the third is the only
    /// PCI Express function, with power states, function-level reset, MSI-X, error reporting and address translation.
    public var devices = [
        Device(identity: Self.exporter, model: "ivshmem-plain,memdev=bar", memory: 1 << 20),
        Device(identity: Self.engine, model: "edu"),
        Device(identity: Self.express, model: "virtio-rng-pci,disable-legacy=on,aer=on,ats=on"),
    ]
    /// The source of the guest's time.
    public var clock = Clock.host
    /// What executes the guest's instructions.
    public var accelerator = Accelerator.tcg
    /// The topology between the devices under test.
    public var fabric = Fabric.noRoute
    /// The guest's memory, MiB.
    public var memory = 1024
    /// Whether the processors have steering tags that a kernel can ask for.
    public var hasSteeringTags = false
    /// More options for the guest kernel's command line.
    public var kernelOptions: [String] = []

    /// The default machine.
    public init() {}

    /// Number of its devices that a process beside QEMU serves.
    public var servedCount: Int { devices.count { $0.isServed } }

    /// The device that has a memory file.
    var memoryDevice: Device? { devices.first { $0.memory != nil } }

    /// Paths and descriptors with which a machine is started.
    struct Resources {
        /// Paths of the kernel, its initial file system, the ACPI table (where the machine has steering tags), and the
        /// memory file of the device that has one.
        var kernel, image, table, memory: String
        /// Connections: the kernel's console, the port for frames and, where devices are served, the port for their
        /// requests.
        var console, frames: Int32
        var capture: Int32?
        /// /dev/kvm, where the machine uses it.
        var kvm: Int32?
    }

    /// The arguments that boot a kernel on this machine.
    func arguments(_ resources: Resources) -> [String] {
        // A remapping IOMMU must come before every device it translates for. Devices on the root bus have fixed
        // addresses, which simulated benches and records contain. Devices of another process need the IOMMU's caching
        // mode, in which the guest reports each mapping.
        base + execution(kvm: resources.kvm ?? -1)
            + ["-device", "intel-iommu,intremap=on,device-iotlb=on" + (servedCount > 0 ? ",caching-mode=on" : "")]
            + ["-kernel", resources.kernel, "-initrd", resources.image, "-append", commandLine]
            + (hasSteeringTags ? ["-acpitable", "file=\(resources.table)"] : [])
            + ["-chardev", "socket,id=console,fd=\(resources.console)", "-serial", "chardev:console"]
            + ["-device", "virtio-serial-pci,addr=3"]
            + port("frames", resources.frames, GuestJob.port)
            + (resources.capture.map { port("capture", $0, GuestJob.capturePort) } ?? [])
            // A network that drops all packets; a hub without a second port would stall the transmit queue.
            + ["-netdev", "user,id=net,restrict=on,ipv6=off", "-device", "virtio-net-pci,netdev=net,addr=4"]
            + (fabric == .belowSwitch ? upstreamPort : [])
            + devices.enumerated().flatMap { attach($1, number: $0 + 1, memory: resources.memory) }
    }

    private func port(_ id: String, _ connection: Int32, _ name: String) -> [String] {
        ["-chardev", "socket,id=\(id),fd=\(connection)", "-device", "virtserialport,chardev=\(id),name=\(name)"]
    }

    /// QEMU's name of the processor, which decides whether the kernel trusts a host bridge
    /// (drivers/pci/p2pdma.c:cpu_supports_p2pdma). With KVM, "max" would be this machine's own, for which the result
    /// may differ.
    private var processor: String { fabric == .bridge ? "EPYC" : accelerator == .kvm ? "qemu64" : "max" }

    private var base: [String] {
        [
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-cpu", processor, "-m", "\(memory)M",
        ] + ram
    }

    /// The guest's memory is a shared file where devices of another process must reach it.
    private var ram: [String] {
        let machine = "q35,kernel-irqchip=split"
        guard servedCount > 0 else { return ["-machine", machine] }
        return [
            "-machine", "\(machine),memory-backend=ram", "-object",
            "memory-backend-memfd,id=ram,size=\(memory)M,share=on",
        ]
    }

    /// Without KVM: one host thread for each processor, or a single processor whose instructions are counted. With KVM,
    /// QEMU gets /dev/kvm as a descriptor, as its user may not open it.
    private func execution(kvm: Int32) -> [String] {
        switch (clock, accelerator) {
        case (.host, .tcg): ["-accel", "tcg,thread=multi", "-smp", "2"]
        case (.host, .kvm): ["-add-fd", "fd=\(kvm),set=1", "-accel", "kvm,device=/dev/fdset/1", "-smp", "2"]
        case (.instructions, _): ["-accel", "tcg,thread=single", "-smp", "1", "-icount", "shift=1,sleep=off"]
        }
    }

    private var commandLine: String {
        // panic=-1 with -no-reboot: a panic ends QEMU at once.
        let options = ["rdinit=\(GuestImage.program)", "console=ttyS0", "intel_iommu=on", "panic=-1", "oops=panic"]
        // A kernel that patches its own code, which it mostly does during boot, briefly writes a breakpoint there. One
        // of QEMU's threads may translate that breakpoint just before another overwrites it, and keep it: "Oops: int3".
        // So the kernel boots with one processor, and init starts the others. All of QEMU's processors read one clock,
        // but on a busy host the kernel comes to doubt that, and doubts its timer's ticks too, over which it would
        // panic.
        return (options + ["maxcpus=1", "tsc=reliable", "no_timer_check"] + kernelOptions).joined(separator: " ")
    }

    private var upstreamPort: [String] {
        ["-device", "pcie-root-port,id=root,chassis=0,slot=0,addr=5", "-device", "x3130-upstream,id=switch,bus=root"]
    }

    /// A slow root port: behind a faster one the kernel waits in vain for the link after a hot reset, as QEMU 7.2 never
    /// shows it active.
    private func attach(_ device: Device, number: Int, memory: String) -> [String] {
        let port =
            fabric == .belowSwitch ? "xio3130-downstream,bus=switch" : "pcie-root-port,x-speed=5,addr=\(4 + number)"
        let object = device.memory.map { "memory-backend-file,id=bar,mem-path=\(memory),size=\($0),share=on" }
        return (object.map { ["-object", $0] } ?? [])
            + ["-device", "\(port),id=port\(number),chassis=\(number),slot=\(number)"]
            + ["-device", device.isServed ? served(device, number) : "\(device.model),bus=port\(number)"]
    }

    /// The socket's path does not exist: Emulator gives QEMU the connection when it calls socket(2).
    private func served(_ device: Device, _ number: Int) -> String {
        """
        {"driver":"vfio-user-pci","bus":"port\(number)","socket":{"type":"unix","path":"\(device.model)"}}
        """
    }
}
