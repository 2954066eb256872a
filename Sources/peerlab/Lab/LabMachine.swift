/// The machine that QEMU emulates for the lab bench, as QEMU's arguments.
struct LabMachine: Sendable {
    /// What is between the devices under test, and so whether a kernel driver may map one's memory for the other.
    enum Fabric: String, CaseIterable, Sendable {
        /// A host bridge that Linux knows to pass peer-to-peer requests on.
        case bridge
        /// One that it does not know.
        case noRoute = "no-route"
        /// A switch, below a bridge that it does not know either.
        case belowSwitch = "below-switch"
    }

    /// What moves the guest's clock.
    enum Clock: String, CaseIterable, Sendable {
        /// The host's clock: times tell of the host, too.
        case host
        /// Instructions of the guest's one processor, two nanoseconds each: times repeat, whatever the host does.
        case instructions
    }

    /// A PCI device to test in the guest; each sits alone below its port, so it can be reset and moved alone.
    struct Device: Sendable {
        /// vendor:device in hexadecimal, as sysfs shows them.
        let identity: String
        /// QEMU's name of the model, with its properties.
        var model: String
        /// What has to exist before it: `-object` of QEMU.
        var object: String?
        /// The driver to bind it to; nil to leave it to the one that knows it, if any does.
        var driver: String? = "vfio-pci"
    }

    /// Identities of the devices under test.
    static let exporter = "1af4:1110"
    static let engine = "1234:11e8"
    static let express = "1af4:1044"

    /// The devices under test: the exporter has its BAR 2 in real memory, the engine can do DMA; the third is the one PCI
    /// Express function, with power states, function-level reset, MSI-X, error reporting and address translation.
    var devices = [
        Device(
            identity: Self.exporter, model: "ivshmem-plain,memdev=bar",
            object: "memory-backend-memfd,id=bar,size=1M,share=on"),
        Device(identity: Self.engine, model: "edu"),
        Device(identity: Self.express, model: "virtio-rng-pci,disable-legacy=on,aer=on,ats=on"),
    ]
    /// What the guest's time is.
    var clock = Clock.host
    /// What is between the devices under test.
    var fabric = Fabric.noRoute
    /// The guest's memory.
    var memory = "1G"
    /// More options for the guest kernel's command line.
    var kernelOptions: [String] = []

    /// The arguments that boot `kernel` on this machine, to do `job`.
    func arguments(kernel: String, guestInit: String, job: LabJob) -> [String] {
        // A remapping IOMMU has to come before every device it translates for.
        base + ["-device", "intel-iommu,intremap=on,device-iotlb=on"]
            + ["-kernel", kernel, "-append", commandLine(guestInit)]
            + share("/", tag: "hostroot", options: ",readonly=on") + share(job.directory, tag: "job") + ports(job)
            // A network that swallows everything; a hub without a second port would stall the transmit queue.
            + ["-netdev", "user,id=net,restrict=on,ipv6=off", "-device", "virtio-net-pci,netdev=net"]
            + (fabric == .belowSwitch ? upstreamPort : []) + devices.enumerated().flatMap { attach($1, number: $0 + 1) }
    }

    /// QEMU's name of the processor: the kernel judges a host bridge by it (drivers/pci/p2pdma.c:cpu_supports_p2pdma).
    private var processor: String { fabric == .bridge ? "EPYC" : "max" }

    private var base: [String] {
        [
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", "q35,kernel-irqchip=split", "-cpu", processor, "-m", memory,
        ] + execution
    }

    /// Without hardware virtualization: a host thread for each processor, or one whose instructions are counted.
    private var execution: [String] {
        switch clock {
        case .host: ["-accel", "tcg,thread=multi", "-smp", "2"]
        case .instructions: ["-accel", "tcg,thread=single", "-smp", "1", "-icount", "shift=1,sleep=off"]
        }
    }

    /// cache=loose saves a third of a run: the host's programs are read once. Nobody else writes to what is read.
    private func commandLine(_ guestInit: String) -> String {
        let root = "root=hostroot rootfstype=9p ro rootflags=trans=virtio,version=9p2000.L,msize=262144,cache=loose"
        // With -no-reboot, a panic that reboots at once ends QEMU at once.
        let options = ["init=\"\(guestInit)\"", "console=ttyS0", "intel_iommu=on", "panic=-1", "oops=panic"]
        // QEMU's threads now and then lose the race against a kernel that patches its own code, as it does most while
        // it boots, and the boot ends in "Oops: int3". So guest-init starts the other processors.
        // All of QEMU's processors read one clock, but on a busy host the kernel comes to doubt that; and that its timer
        // ticks, which it would panic over.
        return ([root] + options + ["maxcpus=1", "tsc=reliable", "no_timer_check"] + kernelOptions).joined(
            separator: " ")
    }

    private func share(_ path: String, tag: String, options: String = "") -> [String] {
        ["-virtfs", "local,path=\(escaped(path)),mount_tag=\(tag),security_model=none,multidevs=remap\(options)"]
    }

    /// Output goes to files: QEMU never has to wait for them, so nothing is lost when the guest powers off.
    private func ports(_ job: LabJob) -> [String] {
        let files = ["console", "stdout", "stderr"].flatMap {
            ["-chardev", "file,id=\($0),path=\(escaped(job.path($0)))"]
        }
        let ports = ["stdout", "stderr", "control"].flatMap {
            ["-device", "virtserialport,chardev=\($0),name=peerlab.\($0)"]
        }
        return files + ["-chardev", "stdio,id=control,signal=off", "-serial", "chardev:console"]
            + ["-device", "virtio-serial-pci"] + ports
    }

    private var upstreamPort: [String] {
        ["-device", "pcie-root-port,id=root,chassis=0,slot=0", "-device", "x3130-upstream,id=switch,bus=root"]
    }

    /// Behind a faster root port, the kernel waits in vain for the link after a hot reset: QEMU 7.2 never shows it active.
    private func attach(_ device: Device, number: Int) -> [String] {
        let port = fabric == .belowSwitch ? "xio3130-downstream,bus=switch" : "pcie-root-port,x-speed=5"
        return (device.object.map { ["-object", $0] } ?? [])
            + ["-device", "\(port),id=port\(number),chassis=\(number),slot=\(number)"]
            + ["-device", "\(device.model),bus=port\(number)"]
    }

    /// A comma ends a value in QEMU's options, two are one.
    private func escaped(_ path: String) -> String {
        path.split(separator: ",", omittingEmptySubsequences: false).joined(separator: ",,")
    }
}
