import Glibc
import Kernel

/// What this machine keeps on its devices: mounted file systems, swap, networks. From /proc and /sys.
struct MachineUses {
    /// A use, and what would end it.
    struct Use: Equatable {
        let what: String
        let advice: String
    }

    private struct Mount {
        let number: Substring
        let point: String
        let type: Substring
        let source: String
    }

    private struct Block {
        let name: String
        let number: String
        /// Its paths in sysfs: below a PCI function, or below several.
        let paths: [String]
        /// Block devices that are made of it.
        let holders: [String]
    }

    private let kernel: any Kernel
    private let mounts: [Mount]
    private let swaps: [String]
    private let blocks: [Block]

    init(kernel: any Kernel) throws(Failure) {
        self.kernel = kernel
        // Init's may be others than ours, as in a container.
        var mounts = MachineUses.mounts(try kernel.attributeIfThere("/proc/self/mountinfo") ?? "")
        mounts += MachineUses.mounts((try? kernel.contents(of: "/proc/1/mountinfo")) ?? "")
        self.mounts = mounts
        swaps = (try kernel.attributeIfThere("/proc/swaps") ?? "").split(separator: "\n").dropFirst()
            .compactMap { $0.split(whereSeparator: \.isWhitespace).first.map(String.init) }
        let names = (try? kernel.list("/sys/class/block")) ?? []
        blocks = names.map { name in
            Block(
                name: name, number: (try? kernel.attribute("/sys/class/block/\(name)/dev")) ?? "",
                paths: MachineUses.paths(of: name, kernel),
                holders: (try? kernel.list("/sys/class/block/\(name)/holders")) ?? [])
        }
    }

    /// proc_pid_mountinfo(5): after optional fields a lone "-", then the type and the source.
    private static func mounts(_ text: String) -> [Mount] {
        text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard let dash = words.firstIndex(of: "-"), dash >= 5, words.count > dash + 2 else { return nil }
            return Mount(
                number: words[2], point: String(words[4]), type: words[dash + 1], source: String(words[dash + 2]))
        }
    }

    /// A disk of an NVMe subsystem is virtual, and has its controllers beside it.
    private static func paths(of block: String, _ kernel: any Kernel) -> [String] {
        guard let path = try? kernel.readlink("/sys/class/block/\(block)") else { return [] }
        let parts = path.split(separator: "/")
        guard let index = parts.firstIndex(of: "nvme-subsystem"), parts.count > index + 1 else { return [path] }
        let subsystem = "/sys/class/nvme-subsystem/\(parts[index + 1])"
        return ((try? kernel.list(subsystem)) ?? []).compactMap { try? kernel.readlink("\(subsystem)/\($0)") }
    }

    /// All uses of a function.
    func of(_ address: PCIAddress) -> [Use] {
        func isBelow(_ path: String) -> Bool { path.contains("/\(address)/") }
        return blocks.filter { $0.paths.contains(where: isBelow) }.compactMap(use)
            + sharedFolders(isBelow) + networks(isBelow)
    }

    // MARK: File systems and swap

    private func use(_ block: Block) -> Use? {
        if let use = knownUse(block, depth: 0) { return use }
        let (path, errno) = claim(block)
        guard errno == .busy else { return nil }
        return Use(
            what: "\(path) on it is in use (mounted in a container, or part of LVM, RAID or ZFS)",
            advice: "stop what uses it")
    }

    /// Whoever mounts it elsewhere, or builds upon it, has claimed it: EBUSY. open(2): O_EXCL of a block device.
    private func claim(_ block: Block) -> (path: String, errno: Errno?) {
        let path = "/dev/" + block.name.map { $0 == "!" ? "/" : String($0) }.joined()
        let result = kernel.open(path, flags: O_RDONLY | O_EXCL | O_CLOEXEC)
        if result >= 0 { _ = kernel.close(Int32(truncatingIfNeeded: result)) }
        return (path, Errno(result: result))
    }

    /// Block devices on a function of which this program may not find out whether anything uses them.
    func untried(_ address: PCIAddress) -> [String] {
        blocks.filter { $0.paths.contains { $0.contains("/\(address)/") } && knownUse($0, depth: 0) == nil }
            .map(claim).filter { $0.errno == .denied || $0.errno == .notPermitted }.map(\.path)
    }

    private func knownUse(_ block: Block, depth: Int) -> Use? {
        let paths = ["/dev/\(block.name)"]
        let points = mounts.filter { $0.number == block.number || paths.contains($0.source) }.map(\.point)
        if let use = MachineUses.use(points, block.name) { return use }
        if swaps.contains(where: paths.contains) {
            return Use(what: "swap is on it (\(block.name))", advice: "swapoff /dev/\(block.name)")
        }
        guard depth < 8, let holder = block.holders.first else { return nil }
        let upper = blocks.first { $0.name == holder }
        let above = upper.flatMap { knownUse($0, depth: depth + 1) }
        return Use(
            what: "\(holder) is made of its \(block.name)" + (above.map { ", and \($0.what)" } ?? ""),
            advice: above?.advice ?? "take \(holder) apart first")
    }

    private static func use(_ points: [String], _ source: String) -> Use? {
        if points.contains("/") {
            return Use(what: "the root file system is on it (\(source))", advice: "name another device")
        }
        return points.min().map { Use(what: "\($0) is mounted from it (\(source))", advice: "umount \($0)") }
    }

    /// 9p and virtiofs over virtio: the host's folders. drivers: net/9p/trans_virtio.c, fs/fuse/virtio_fs.c
    private func sharedFolders(_ isBelow: (String) -> Bool) -> [Use] {
        [("9p", "9pnet_virtio"), ("virtiofs", "virtiofs")].flatMap { type, driver in
            let folder = "/sys/bus/virtio/drivers/\(driver)"
            return ((try? kernel.list(folder)) ?? []).compactMap { name -> Use? in
                guard let path = try? kernel.readlink("\(folder)/\(name)"), isBelow(path + "/") else { return nil }
                let tag = (try? kernel.attribute("\(folder)/\(name)/mount_tag"))?.prefix { $0 != "\0" }
                let points = mounts.filter { $0.type == type && (tag ?? $0.source[...]) == $0.source }.map(\.point)
                return MachineUses.use(points, "\(type)\(tag.map { " \($0)" } ?? "")")
            }
        }
    }

    // MARK: Networks

    private static let interfaces = "/sys/class/net"

    private func networks(_ isBelow: (String) -> Bool) -> [Use] {
        ((try? kernel.list(MachineUses.interfaces)) ?? []).compactMap { name in
            guard let path = try? kernel.readlink("\(MachineUses.interfaces)/\(name)"), isBelow(path),
                let flags = try? kernel.attribute("\(MachineUses.interfaces)/\(name)/flags"),
                // IFF_UP
                (UInt32(flags.dropFirst(2), radix: 16) ?? 1) & 1 != 0
            else { return nil }
            return Use(
                what: "its network interface \(name) is up\(reason(name))",
                advice: "`ip link set \(name) down` if nothing needs it")
        }
    }

    /// What is known of a use of an interface. One that is up may have others too: VLANs, programs that capture.
    private func reason(_ name: String) -> String {
        func lines(_ file: String) -> [[Substring]] {
            ((try? kernel.contents(of: "/proc/net/\(file)")) ?? "").split(separator: "\n")
                .map { $0.split(whereSeparator: \.isWhitespace) }
        }
        let routes = lines("route").filter { $0.count > 7 && $0[0] == name }
        // net/ipv6/route.c: a default route's prefix has no bits.
        let routes6 = lines("ipv6_route").filter { $0.count > 9 && $0[9] == name && $0[1] == "00" }
        if routes.contains(where: { $0[1] == "00000000" && $0[7] == "00000000" }) || !routes6.isEmpty {
            return " and has the default route"
        }
        if !routes.isEmpty || lines("if_inet6").contains(where: { $0.last == name[...] }) {
            return " and has an address"
        }
        if let master = (try? kernel.readlink("\(MachineUses.interfaces)/\(name)/master"))?.split(separator: "/").last {
            return " and is part of \(master)"
        }
        return ""
    }
}
