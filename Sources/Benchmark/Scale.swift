import CKernel
import Glibc
import Kernel
import SimKernel

/// What an operation of the simulated bench costs with few and with very many live dma-bufs and memory regions.
enum Scale {
    /// A bench with `count` dma-bufs, each with a hint and a memory region.
    private final class Load {
        let kernel: SimKernel
        private var device: Int32 = -1
        private var pd: UnsafeMutablePointer<ibv_pd>?
        private var live: [(descriptor: Int32, mr: UnsafeMutablePointer<ibv_mr>)] = []

        init(_ count: Int) throws {
            var topology = Topology(
                tph: .v2,
                devices: [
                    Topology.Device(
                        address: "0000:01:00.0", vendor: 0x1af4, device: 0x1110, classCode: 0x050000, group: 1,
                        bars: [Topology.BAR(2, size: 1 << 20, is64Bit: true, prefetchable: true)],
                        completer: .extended),
                    Topology.Device(
                        address: "0000:03:00.0", vendor: 0x15b3, device: 0x1021, classCode: 0x020000,
                        driver: "mlx5_core", group: 2, tphRequester: true, kind: .nic),
                ])
            topology.nics = [Topology.NIC(name: "mlx5_0", address: "0000:03:00.0")]
            kernel = SimKernel(topology)
            device = Int32(kernel.open("/dev/vfio/devices/vfio0", flags: O_RDWR))
            let context = Int32(kernel.open("/dev/iommu", flags: O_RDWR))
            var bind = vfio_device_bind_iommufd(argsz: 24, flags: 0, iommufd: context, out_devid: 0, token_uuid_ptr: 0)
            _ = withUnsafeMutableBytes(of: &bind) {
                kernel.ioctl(device, UInt(VFIO_DEVICE_BIND_IOMMUFD), .memory($0))
            }
            let nic = try kernel.call(Verbs.ibv_open_device, try kernel.call(Verbs.ibv_get_device_list)[0])
            pd = try kernel.call(Verbs.ibv_alloc_pd, nic)
            live.reserveCapacity(count)
            for _ in 0..<count { live.append(try make()) }
        }

        /// One VFIO_DEVICE_FEATURE request of `words` behind the header.
        private func feature(_ flags: Int, _ words: [UInt64]) -> Int {
            var bytes = [UInt64(8 + 8 * words.count) | UInt64(flags) << 32] + words
            return bytes.withUnsafeMutableBytes { kernel.ioctl(device, UInt(VFIO_DEVICE_FEATURE), .memory($0)) }
        }

        /// Three operations: export, SET, register.
        private func make() throws(Errno) -> (descriptor: Int32, mr: UnsafeMutablePointer<ibv_mr>) {
            let result = feature(
                VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF,
                [2 | UInt64(O_RDWR | O_CLOEXEC) << 32, 1 << 32, 0, 4096])
            if let errno = Errno(result: result) { throw errno }
            let descriptor = Int32(truncatingIfNeeded: result)
            let tagged = feature(
                VFIO_DEVICE_FEATURE_SET | 13, [UInt64(UInt32(bitPattern: descriptor)) | 0x2_0042 << 32])
            guard tagged == 0, let pd else { throw Errno(EINVAL) }
            return (descriptor, try kernel.call(Verbs.ibv_reg_dmabuf_mr, pd, 0, 4096, 0, descriptor, 1))
        }

        /// Replaces some of the live ones, five operations each; nanoseconds an operation. Which ones, and looking them
        /// up in our own list, is not timed.
        func replace(_ rounds: Int) throws -> Double {
            var chosen: Set<Int> = []
            while chosen.count < min(rounds, live.count / 2) { chosen.insert(Int.random(in: live.indices)) }
            var objects = chosen.map { (place: $0, object: live[$0]) }
            let start = Processes.now()
            for index in objects.indices {
                try kernel.call(Verbs.ibv_dereg_mr, objects[index].object.mr)
                _ = kernel.close(objects[index].object.descriptor)
                objects[index].object = try make()
            }
            let time = Double(Processes.now() - start)
            for (place, object) in objects { live[place] = object }
            return time / Double(5 * objects.count)
        }

        /// Makes one more and ends it, five operations; nanoseconds each.
        func add(_ rounds: Int) throws -> Double {
            let start = Processes.now()
            for _ in 0..<rounds {
                let new = try make()
                try kernel.call(Verbs.ibv_dereg_mr, new.mr)
                _ = kernel.close(new.descriptor)
            }
            return Double(Processes.now() - start) / Double(5 * rounds)
        }
    }

    /// Rounds in turn on both benches; medians, and the median of the rounds' ratios.
    static func compare(rounds: Int = 21, operations: Int = 2000) {
        do {
            let (few, many) = (try Load(1000), try Load(1_000_000))
            for (name, body) in [
                ("one more, and ended", { (load: Load) in try load.add(operations) }),
                ("any one, replaced", { (load: Load) in try load.replace(operations) }),
            ] {
                var times: (few: [Double], many: [Double]) = ([], [])
                for _ in 0..<rounds {
                    times.few.append(try body(few))
                    times.many.append(try body(many))
                }
                let ratios = zip(times.few, times.many).map { $1 / $0 }
                print(
                    "\(name): \(Processes.twoPlaces(Processes.median(times.few))) ns with 1,000 live, "
                        + "\(Processes.twoPlaces(Processes.median(times.many))) ns with 1,000,000, "
                        + "ratio \(Processes.twoPlaces(Processes.median(ratios)))")
            }
        } catch {
            print("scale: \(error)")
            exit(1)
        }
        // Tearing a million objects down would take longer than all of this.
        exit(0)
    }
}
