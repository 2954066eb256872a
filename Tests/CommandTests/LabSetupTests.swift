import ArgumentParser
import FoundationEssentials
import LabBench
import Testing

@testable import peerlab

/// What the lab's options make of its machine, and what they refuse.
@Suite struct LabSetupTests {
    /// A cache in which `debian` and `running` were unpacked, of a release that runs nowhere.
    private func cache() throws -> String {
        let cache = FileManager.default.temporaryDirectory.path + "/peerlab-\(UUID().uuidString)"
        for name in LabKernel.packaged {
            let folder = "\(cache)/kernels/\(name)"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let files = [
                "bzImage": "", "release": "0.1-test\n", "modules": "ib_core.ko\nmlx5_core.ko\n",
                "lacks": "iommufd\nTPH\n",
            ]
            for (file, text) in files { try Data(text.utf8).write(to: URL(filePath: "\(folder)/\(file)")) }
        }
        return cache
    }

    private func setup(_ words: [String], _ kernel: LabKernel) throws -> LabSetup {
        try LabSetup(try LabOptions.parse(words), bindsItself: false, kernel: kernel)
    }

    @Test func aPackagedKernelComesWithItsModulesInOrder() throws {
        let cache = try cache()
        defer { try? FileManager.default.removeItem(atPath: cache) }
        let kernel = try LabKernel("debian", cache: cache)
        #expect(kernel.image == "\(cache)/kernels/debian/bzImage")
        let nic = try setup(["--lab-nic", "connectx"], kernel)
        #expect(nic.drivers.map(\.path) == ["/lib/modules/ib_core.ko", "/lib/modules/mlx5_core.ko"])
        #expect(nic.notes.contains("Linux 0.1-test has no iommufd and no TPH"))
        // A guest without the NIC is not given its drivers.
        #expect(try setup([], kernel).drivers.map(\.path) == ["/lib/modules/ib_core.ko"])
        // What scripts/lab/build-modules makes is for another kernel.
        for words in [["--lab-tph", "v2"], ["--lab-importer"], ["--lab-nic", "connectx,tph=tph"]] {
            #expect(throws: ValidationError.self) { try setup(words, kernel) }
        }
    }

    @Test func aPackagedKernelThatIsNotThereOrNotTheRunningOneIsRefused() throws {
        let cache = try cache()
        defer { try? FileManager.default.removeItem(atPath: cache) }
        func refusal(_ name: String, _ cache: String) -> String {
            do throws(ValidationError) { try LabKernel(name, cache: cache).check() } catch { return error.message }
            return ""
        }
        #expect(refusal("debian", "/nonexistent").contains("scripts/lab/unpack-kernel debian gets it"))
        #expect(refusal("running", cache).contains("0.1-test is what was unpacked"))
        #expect(refusal("/nonexistent/bzImage", cache).contains("no kernel image at /nonexistent/bzImage"))
    }

    @Test func whatDoesNotGoTogetherIsRefused() throws {
        let cache = try cache()
        defer { try? FileManager.default.removeItem(atPath: cache) }
        let kernel = try LabKernel("debian", cache: cache)
        #expect(throws: ValidationError.self) { try setup(["--lab-tph", "v2", "--lab-nic", "connectx"], kernel) }
        var counting = try setup(["--lab-clock", "instructions"], kernel)
        #expect(throws: ValidationError.self) { try counting.useKVM(nil) }
    }

    @Test func theAcceleratorIsWhatWasAskedFor() throws {
        let cache = try cache()
        defer { try? FileManager.default.removeItem(atPath: cache) }
        var lab = try setup([], try LabKernel("debian", cache: cache))
        #expect(lab.machine.accelerator == .tcg)
        #expect(throws: ValidationError.self) { try lab.useKVM("KVM_CREATE_VM: ENODEV on /dev/kvm") }
        #expect(lab.machine.accelerator == .tcg)
        try lab.useKVM(nil)
        #expect(lab.machine.accelerator == .kvm)
        let bench = { (words: [String]) in try LabOptions.parse(words).inside }
        #expect(try bench([]) == "QEMU with emulated devices")
        #expect(
            try bench(["--lab-accel", "kvm", "--lab-nic", "connectx"])
                == "QEMU (kvm) with emulated devices and an emulated ConnectX")
        #expect(LabOptions.insides.contains(try bench(["--lab-accel", "kvm"])))
    }
}
