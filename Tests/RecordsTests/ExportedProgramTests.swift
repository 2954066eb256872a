import Glibc
import Kernel
import Testing

@testable import Records

/// C that is made of records, compiled and run.
@Suite struct ExportedProgramTests {
    /// A program made of a record's text, in a folder of its own; nil where gcc finds fault with it, which it says.
    private final class Program {
        let folder: String

        init(_ record: String, _ changed: (String, String) -> String = { c, _ in c }) throws {
            var template = Array("/tmp/peerlab-exported.XXXXXX".utf8CString)
            folder = String(cString: try #require(mkdtemp(&template)))
            let file = try #require(fopen(folder + "/a.c", "w"))
            fputs(changed(try exportedC(record), folder), file)
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
        #expect(other == (1, "call 2: poll: 0 (no error), was 1 (no error) when it was recorded\n1 answers differ\n"))
        let none = try Program(recordText("open(\"/dev/vfio/devices/vfio99\", 2) = device1", "close(device1) = 0"))
        #expect(
            none.run()
                == (4, "call 1: /dev/vfio/devices/vfio99: No such file or directory; nothing more is done\n"))
        #expect(none.run("/dev/null") == (0, "all answers as recorded\n"))
        let help = none.run("--help")
        #expect(help.status == 0 && help.output.contains("\n  /dev/vfio/devices/vfio99\n"), "\(help)")
        #expect(
            help.output.contains(
                "\n  0 every answer is the recorded one, be that right or wrong: the record does not say\n"))
        // 1 would say that an answer differs.
        #expect(none.run("/dev/null /dev/null").status == 4 && none.run("--kselftest").status == 4)
        #expect(try Program(recordText("nanosleep(1) = 0")).run("--help").status == 0)
    }

    /// The RDMA device that is opened is an argument, wherever it is listed; another one that is there is none.
    @Test func anRDMADeviceIsAnArgument() throws {
        let list =
            "ibv_get_device_list() = 0 {devices=[{name=\"other\", device=ibdev1}, {name=\"mlx5_0\", device=ibdev2}]}"
        let record = recordText(list, list, "ibv_open_device(device=ibdev2) = context1", "eventfd(0) = eventfd1")
        let c = try exportedC(record)
        #expect(c.contains("static const char *paths[] = { \"mlx5_0\" };"))
        #expect(c.split(separator: "ibv_get_device_name(list[i]), paths[0])").count == 3, "\(c)")
        let help = try Program(record).run("--help")
        #expect(help.output.contains("DEVICE is an RDMA device's name, in place of, in order:\n  mlx5_0\n"), "\(help)")
        let both = try Program(record + "open(\"/dev/vfio/devices/vfio9\", 2) = device1 <0.000001>\n").run("--help")
        #expect(
            both.output.contains(
                "DEVICE is a path, the PCI address of a device of vfio-pci, or an RDMA device's name, in place of"))
    }

    /// What fails is told, and what would need it is not tried.
    @Test func stopsAtTheFirstThingThatIsNotThere() throws {
        let (status, output) = try Program(
            recordText("mmap(0x7fffffffffff, 3, 0x22, -1, 0) = map1", "store(map1, <41>, 1) = 0", "poll(-1, 1) = 0")
        ).run()
        #expect(status == 1)
        #expect(
            output == "call 1: mmap: -12 (Cannot allocate memory), was 0 (no error) when it was recorded\n"
                + "1 answers differ\n")
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
        #expect(c.contains("/* calls 2 to 61: 20 times alike */"), "\(c)")
        #expect(c.split(separator: "\n").count { $0.contains("result(lseek(") } == 2)
        #expect(try Program(record(472)).run() == (0, "all answers as recorded\n"))
        // The last is no part of the loop, and differs.
        let other = try exportedC(record(473))
        #expect(other.contains("/* calls 2 to 58: 19 times alike */"), "\(other)")
        #expect(
            try Program(record(473)).run()
                == (1, "call 59: lseek: 472 (no error), was 473 (no error) when it was recorded\n1 answers differ\n"))
    }

    /// A record of a data test has thousands of accesses.
    @Test func aPlainAccessIsOneStatement() throws {
        func record(_ last: String) -> String {
            "peerlab record 1\n\nmmap(0x1000, 3, 0x22, -1, 0) = map1 <0.000001>\n"
                + (0..<4).map { "store(map1+\($0 * 8), <01 02 ff 34>, 4) = 0 <0.000001>\n" }.joined()
                + "load(map1+10, <ff 34 00>, 3) = 0 <0.000001>\nload(map1+1, \(last), 1) = 0 <0.000001>\n"
        }
        let c = try exportedC(record("<02>"))
        #expect(
            c.contains("4 times alike") && c.contains("\tloaded(6, \"map1\", map1, 0xa, \"\\xff\\x34\\x00\", 3);"),
            "\(c)")
        #expect(try Program(record("<02>")).run() == (0, "all answers as recorded\n"))
        #expect(
            try Program(record("<03>")).run()
                == (1, "call 7: load holds other bytes than when it was recorded\n1 answers differ\n"))
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
        let names = ["device_fd", "exporter_fd", "iommu_fd", "dmabuf_fd", "event1_fd", "event2_fd"]
        let declared = c.split(separator: "\n").filter { $0.hasPrefix("static int ") && $0.contains(" = -1") }
        #expect(names.allSatisfy { name in declared.contains { $0.contains(" \(name) = -1") } }, "\(declared)")
        #expect(c.contains("/* 5. close(dmabuf_fd) = 0 */"))
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
        let definition = "#define VFIO_DEVICE_FEATURE_DMA_BUF 0xb\nstruct vfio_device_feature_dma_buf {"
        #expect(c.contains("#ifndef VFIO_DEVICE_FEATURE_DMA_BUF\n" + definition))
        // Each supported header has these.
        #expect(!c.contains("define VFIO_DEVICE_FEATURE ") && !c.contains("define VFIO_DEVICE_FEATURE_GET"))
        #expect(c.contains(".flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF }"))
        #expect(!c.contains("at_end_of_page") && !c.contains("sys/mman.h") && !c.contains("same_bytes"))
    }

    /// Calls behind `eventfd(0) = eventfd1`, what the script says, and the program's end.
    private static let wrongAnswers: [(lines: [String], status: Int32)] = [
        // The bug is there; it is not; another answer than both.
        (["ftruncate(eventfd1, 5) = -1 EINVAL", "#! wrong \"EINVAL\", right \"0\": the place"], 1),
        (["ftruncate(eventfd1, 5) = -1 EPERM", "#! wrong \"EPERM\", right \"EINVAL\": the place"], 0),
        (["ftruncate(eventfd1, 5) = -1 EPERM", "#! wrong \"EPERM\", right \"EACCES\": the place"], 4),
        // What is refused rightly was not.
        (["ftruncate(eventfd1, 5) = 0", "#! wrong \"0\", right \"EINVAL\": the place"], 0),
        // A refusal that failed the script, as older records have it too.
        (["ftruncate(eventfd1, 5) = -1 EINVAL", "#! failed ftruncate EINVAL: a.lua:1: no"], 1),
        (["poll(eventfd1, 1) = -1 EINVAL", "#! failed poll EINVAL: a.lua:1: no"], 0),
        // Another answer before it; and one after it, which follows from a right one.
        (["poll(eventfd1, 1) = 1", "ftruncate(eventfd1, 5) = -1 EPERM", "#! wrong \"EPERM\", right \"EINVAL\": x"], 4),
        (["ftruncate(eventfd1, 5) = -1 EPERM", "poll(eventfd1, 1) = 1", "#! wrong \"EPERM\", right \"EINVAL\": x"], 0),
        // A success of which the script says more is not known by the success alone.
        (["poll(eventfd1, 1) = -1 EINVAL", "#! wrong \"EINVAL\", right \"4 bytes\": x"], 4),
        (["ftruncate(eventfd1, 5) = -1 EINVAL", "#! wrong \"EINVAL\", right \"4 bytes\": x"], 1),
        // Nothing tells which call answered it.
        (["poll(eventfd1, 1) = 0", "#! wrong \"4, 8\", right \"4\": pages"], 1),
        (["poll(eventfd1, 1) = 1", "#! wrong \"4, 8\", right \"4\": pages"], 4),
        // Calls that a program cannot make may be what decides.
        (["readlink(\"/a\") = 1", "#! wrong \"4, 8\", right \"4\": pages"], 4),
    ]

    /// As kselftest asks: 0 where a kernel answers rightly, 1 where it has the bug, 4 where neither is shown. This kernel answers
    /// EINVAL to ftruncate(2) of an eventfd.
    @Test(arguments: wrongAnswers)
    func exitCodesTellWhetherTheBugIsThere(_ lines: [String], _ status: Int32) throws {
        let program = try Program(
            (["eventfd(0) = eventfd1"] + lines).reduce("peerlab record 1\n\n") { text, line in
                text + line + (line.hasPrefix("#!") ? "\n" : " <0.000001>\n")
            })
        let (found, output) = program.run()
        #expect(found == status, "\(output)")
        // A right answer that is a text cannot be told from others.
        let isTold = !lines.contains { $0.contains("right \"4") }
        let codes =
            isTold ? "\n  0 the kernel answers as a right one does\n  1 the bug is present\n" : "so 0 never comes\n"
        #expect(program.run("--help").output.contains(codes))
    }

    /// Each PCI address has a name of its own for its device.
    @Test func devicesOfManyAddressesStayApart() throws {
        let paths = (0..<20).map { "/dev/vfio/devices/vfio\($0)" }
        let opens = paths.enumerated().map { "open(\"\($1)\", 0) = device\($0 + 1) <0.000001>\n" }.joined()
        let text = "peerlab record 1\n\n\(opens)read(device1, <61>, 1) = 1 <0.000001>\n"
        let program = try Program(text) { c, folder in
            c.replacing("/sys/bus/pci/devices", with: folder).replacing(
                "\"/dev/vfio/devices/%s\"", with: "\"\(folder)/%s\"")
        }
        for number in paths.indices {
            let folder = "\(program.folder)/\(number)"
            mkdir(folder, 0o700)
            mkdir(folder + "/vfio-dev", 0o700)
            mkdir(folder + "/vfio-dev/vfio\(number)", 0o700)
            let file = try #require(fopen("\(program.folder)/vfio\(number)", "w"))
            fputs(number == 0 ? "a" : "b", file)
            fclose(file)
        }
        let (status, output) = program.run(paths.indices.map(String.init).joined(separator: " "))
        #expect(status == 0, "\(output)")
    }

    /// A PCI address chooses a group too, and the device of a group is chosen by its address.
    @Test func aGroupIsThatOfAnAddress() throws {
        let program = try Program(recordText("open(\"/dev/vfio/42\", 0) = group1", "read(group1, <61>, 1) = 1")) {
            c, folder in
            c.replacing("/sys/bus/pci/devices", with: folder).replacing("\"/dev/vfio/%s\"", with: "\"\(folder)/%s\"")
        }
        for (address, text) in [("0000:03:00.0", "a"), ("0000:04:00.0", "b")] {
            let group = "\(program.folder)/group-\(text)"
            mkdir("\(program.folder)/\(address)", 0o700)
            symlink(group, "\(program.folder)/\(address)/iommu_group")
            let file = try #require(fopen(group, "w"))
            fputs(text, file)
            fclose(file)
        }
        #expect(program.run("0000:03:00.0") == (0, "all answers as recorded\n"))
        #expect(program.run("0000:04:00.0").status == 1)
        #expect(program.run("0000:05:00.0") == (4, "0000:05:00.0 is not bound to vfio-pci\n"))
        let c = try exportedC(
            recordText(
                "open(\"/dev/vfio/noiommu-3\", 2) = group1",
                "ioctl(group1, VFIO_GROUP_GET_DEVICE_FD, \"0000:01:00.0\") = device1",
                "ioctl(group1, VFIO_GROUP_GET_DEVICE_FD, \"0000:01:00.0 vf_token=1\") = device2"))
        #expect(c.contains("*paths[] = { \"/dev/vfio/noiommu-3\", \"0000:01:00.0\" };"), "\(c)")
        #expect(c.contains("VFIO_GROUP_GET_DEVICE_FD, paths[1])") && c.contains("\"0000:01:00.0 vf_token=1\")"))
    }

    /// Memory that calls are given is not taken back for later ones.
    @Test func eachCallHasMemoryOfItsOwn() throws {
        let call = "ioctl(eventfd1, 0x5401, <01 02 03 04>) = -1 ENOTTY"
        let c = try exportedC("peerlab record 1\n\neventfd(0) = eventfd1 <0.000001>\n\(call) <0.000001>\n")
        #expect(c.contains("static void *place;") && c.contains("at_end_of_page(&place, bytes, 4)"), "\(c)")
        #expect(!c.contains("munmap"))
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
