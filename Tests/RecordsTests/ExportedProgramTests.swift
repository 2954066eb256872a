import Glibc
import Kernel
import Testing

@testable import Records

/// C that is made of records, compiled and run.
@Suite struct ExportedProgramTests {
    /// A program made of a record's text, in a folder of its own; nil where gcc finds fault with it, which it says.
    private final class Program {
        let folder: String

        init(_ record: String) throws {
            var template = Array("/tmp/peerlab-exported.XXXXXX".utf8CString)
            folder = String(cString: try #require(mkdtemp(&template)))
            let file = try #require(fopen(folder + "/a.c", "w"))
            fputs(try exportedC(record), file)
            fclose(file)
            let (status, output) = Program.shell(
                "gcc -Wall -Wextra -Werror -Wunused -O1 -o \(folder)/a \(folder)/a.c -libverbs")
            try #require(status == 0, "\(output)")
        }

        deinit { _ = Program.shell("rm -r \(folder)") }

        func run(_ arguments: String = "") -> (status: Int32, output: String) {
            Program.shell("\(folder)/a \(arguments)")
        }

        private static func shell(_ command: String) -> (status: Int32, output: String) {
            // Threads of a pool block signals, and a shell that inherits that waits for its children in vain.
            var (none, blocked) = (sigset_t(), sigset_t())
            pthread_sigmask(SIG_SETMASK, &none, &blocked)
            defer { pthread_sigmask(SIG_SETMASK, &blocked, nil) }
            guard let pipe = popen("{ \(command); } 2>&1 </dev/null", "r") else { return (-1, "") }
            var bytes: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while case let count = fread(&buffer, 1, buffer.count, pipe), count > 0 { bytes += buffer[..<count] }
            return (pclose(pipe) >> 8 & 0xff, String(decoding: bytes, as: UTF8.self))
        }
    }

    @Test func endsAsTestsOfTheKernelDo() throws {
        let same = try Program(recordText("eventfd(0) = eventfd1", "poll(eventfd1, 1) = 0")).run()
        #expect(same == (0, "all answers as recorded\n"))
        let other = try Program(recordText("eventfd(0) = eventfd1", "poll(eventfd1, 1) = 1")).run()
        #expect(other == (1, "line 4: poll is 0, was 1 when it was recorded\n1 answers differ\n"))
        let none = try Program(recordText("open(\"/dev/vfio/devices/vfio99\", 2) = device1", "close(device1) = 0"))
        #expect(
            none.run()
                == (4, "line 3: /dev/vfio/devices/vfio99: No such file or directory; nothing more is done\n"))
        #expect(none.run("/dev/null") == (0, "all answers as recorded\n"))
        let help = none.run("--help")
        #expect(help.status == 0 && help.output.contains("\n  /dev/vfio/devices/vfio99\n"), "\(help)")
        #expect(none.run("/dev/null /dev/null").status == 1 && none.run("--kselftest").status == 1)
        #expect(try Program(recordText("nanosleep(1) = 0")).run("--help").status == 0)
    }

    /// What fails is told, and what would need it is not tried.
    @Test func stopsAtTheFirstThingThatIsNotThere() throws {
        let (status, output) = try Program(
            recordText("mmap(0x7fffffffffff, 3, 0x22, -1, 0) = map1", "store(map1, <41>, 1) = 0", "poll(-1, 1) = 0")
        ).run()
        #expect(status == 1)
        #expect(
            output == "line 3: mmap: Cannot allocate memory, was no error when it was recorded\n"
                + "line 3: map1 is not there; nothing more is done\n1 answers differ\n")
    }

    /// Positions in a file, which the kernel tells: the loop asks for each that the record has.
    @Test func callsThatGrowByTheSameAmountAreALoop() throws {
        func record(_ last: Int) -> String {
            "peerlab record 1\n\nmemfd_create(\"m\", 0) = memfd1 <0.000001>\n"
                + (0..<20).map { turn in
                    "lseek(memfd1, \(16 + turn * 24), 0) = \(turn == 19 ? last : 16 + turn * 24) <0.000001>\n"
                        + "lseek(memfd1, \(-1 - turn), 2) = -1 EINVAL <0.000001>\npoll(-1, 1) = 0 <0.000001>\n"
                }.joined()
        }
        let c = try exportedC(record(472))
        #expect(c.contains("/* lines 4 to 63: 20 times alike */"), "\(c)")
        #expect(c.split(separator: "\n").count { $0.contains("result(lseek(") } == 2)
        #expect(try Program(record(472)).run() == (0, "all answers as recorded\n"))
        // The last is no part of the loop, and differs.
        let other = try exportedC(record(473))
        #expect(other.contains("/* lines 4 to 60: 19 times alike */"), "\(other)")
        #expect(
            try Program(record(473)).run()
                == (1, "line 61: lseek is 472, was 473 when it was recorded\n1 answers differ\n"))
    }

    @Test func whatDiffersIsNoLoop() throws {
        let two = try exportedC(recordText("poll(-1, 1) = 0", "poll(-1, 1) = 0", "poll(-1, 2) = 0"))
        #expect(!two.contains(" turn"))
        // 1, 2, 4, 8, and bytes, which are constants.
        let doubled =
            (0..<6).map { "eventfd(\(1 << $0)) = eventfd1" }
            + (0..<6).map { "write(eventfd1, <0\($0)>, 1) = -1 EINVAL" }
        let c = try exportedC(
            "peerlab record 1\n\n" + doubled.map { $0 + " <0.000001>\n" }.joined())
        #expect(!c.contains(" turn"), "\(c)")
    }

    @Test func namesAreShort() throws {
        let c = try exportedC(
            recordText(
                "open(\"/dev/vfio/devices/vfio0\", 2) = device6", "open(\"/dev/vfio/devices/vfio1\", 2) = device9",
                "open(\"/dev/iommu\", 2) = iommufd6",
                "ioctl(device9, VFIO_DEVICE_FEATURE, {argsz=40, feature=DMA_BUF, operation=GET, region_index=2, open_flags=0, "
                    + "flags=0, nr_ranges=1, dma_ranges=[{offset=0, length=0x1000}]}) = dmabuf11",
                "close(dmabuf11) = 0", "eventfd(0) = eventfd4", "eventfd(0) = eventfd8"))
        for name in ["exporter_fd", "device_fd", "iommu_fd", "dmabuf_fd", "event1_fd", "event2_fd"] {
            #expect(c.contains("static int \(name) = -1;\n"), "\(name)")
        }
        #expect(c.contains("/* close(dmabuf_fd) = 0 */"))
        #expect(!c.contains("device9") && !c.contains("dmabuf11"))
    }

    /// A name that nothing gives must not become that of what was given.
    @Test func whatNothingGaveIsNotTakenForAnother() throws {
        let c = try exportedC(recordText("eventfd(0) = eventfd7", "close(eventfd1) = 0", "close(eventfd7) = 0"))
        #expect(c.contains("close needs eventfd1, which nothing gave"))
        #expect(c.split(separator: "\n").count { $0.contains("result(close(") } == 1)
    }

    @Test func theKernelsHeadersComeFirst() throws {
        let c = try exportedC(
            recordText(
                "open(\"/dev/vfio/devices/vfio0\", 2) = device1", "open(\"/dev/iommu\", 2) = iommufd1",
                "ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=40, feature=DMA_BUF, operation=GET, region_index=2, open_flags=0, "
                    + "flags=0, nr_ranges=1, dma_ranges=[{offset=0, length=0x1000}]}) = dmabuf1",
                "ioctl(iommufd1, IOMMU_IOAS_ALLOC, {size=12, flags=0} => {out_ioas_id=ioas1}) = 0"))
        #expect(c.contains("#include <linux/vfio.h>\n"))
        #expect(c.contains("#if __has_include(<linux/iommufd.h>)\n"))
        #expect(c.contains("#ifndef VFIO_DEVICE_FEATURE_DMA_BUF\nstruct newer_vfio_device_feature_dma_buf {"))
        #expect(c.contains(".flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF,"))
        #expect(!c.contains("at_end_of_page") && !c.contains("sys/mman.h") && !c.contains("same_bytes"))
    }

    /// Whatever the installed headers have: a call of every request that has a structure, with all its members.
    @Test func aCallOfEveryRequestCompiles() throws {
        let files: [(path: String, name: String)] = [
            ("/dev/vfio/devices/vfio0", "device1"), ("/dev/vfio/vfio", "container1"), ("/dev/vfio/7", "group1"),
            ("/dev/iommu", "iommufd1"), ("/dev/udmabuf", "udmabuf1"), ("/dev/dma_heap/system", "heap1"),
            ("/dev/edu-importer", "importer1"),
        ]
        var lines = files.map { "open(\"\($0.path)\", 2) = \($0.name)" }
        for request in Request.all {
            guard case .structure(let layout) = request.argument else { continue }
            let members = layout.fields.map { field in
                if case .pointer = field.format { "\(field.name)=0" } else { "\(field.name)=1" }
            }
            let outputs = layout.fields.filter { $0.direction == .output && $0.format.isNumber }.map { "\($0.name)=1" }
            // A dma-buf's request has a number of its own.
            let file = files.first { FileKind(opening: $0.path) == request.file }?.name ?? "device1"
            lines.append(
                "ioctl(\(file), \(request.name), {\(members.joined(separator: ", "))} => "
                    + "{\(outputs.joined(separator: ", "))}) = -1 ENOTTY")
        }
        let text = "peerlab record 1\n\n" + lines.map { $0 + " <0.000001>\n" }.joined()
        let c = try exportedC(text)
        let made = c.split(separator: "\n").count { $0.contains("result(ioctl(") }
        #expect(made == lines.count - files.count, "\(made) of \(lines.count - files.count)")
        if let path = getenv("PEERLAB_KEEP_C"), let file = fopen(path, "w") {
            fputs(c, file)
            fclose(file)
        }
        _ = try Program(text)
    }
}

extension Format {
    fileprivate var isNumber: Bool {
        switch self {
        case .decimal, .hexadecimal: true
        default: false
        }
    }
}
