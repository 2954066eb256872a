/// The lines around the calls: how the program begins and ends.
struct CFrame {
    /// The functions that the calls need.
    let names: Set<String>
    /// Paths of devices, which arguments may replace.
    let paths: [String]
    /// Those of them that are names of RDMA devices.
    let rdmaDevices: Set<String>
    /// Whether it stands in a mail, where it is as short as it can be.
    let isInMail: Bool
    /// Answers that show a bug; 0 where the record knows none.
    let decisions: Int
    /// Whether the right answer of each can be told from others; else the program never ends with 0.
    let knowsRight: Bool
    /// Whether calls follow one that shows the bug in the same case.
    let goesOn: Bool
    let isKselftest: Bool

    static let includes = [
        "errno.h", "fcntl.h", "stdint.h", "stdio.h", "stdlib.h", "string.h", "sys/ioctl.h", "unistd.h",
    ]

    private var maySkip: Bool { names.contains("opened") }
    private var mayStop: Bool { CFrame.stops.contains(where: names.contains) || decisions > 0 }
    private static let stops = ["stop", "given", "opened"]
    private var takesAddresses: Bool { !isInMail && paths.contains(where: DevicePath.isOfDevice) }

    var variables: [String] {
        var counters = ["differences"]
        if decisions > 0 { counters += ["present", "right"] }
        if goesOn { counters.append("decided") }
        if maySkip { counters.append("skipped") }
        return ["static int \(counters.joined(separator: ", "));"] + (mayStop ? ["static jmp_buf end;"] : []) + [""]
    }

    /// Between the calls and the program's beginning.
    var beginning: [String] { takesAddresses ? [CFrame.device] : [] }

    var end: String { (isKselftest ? harness : main).joined(separator: "\n") }

    private var calls: [String] {
        (names.contains("copy") ? ["\tsignal(SIGBUS, on_fault);", "\tsignal(SIGSEGV, on_fault);"] : [])
            + (mayStop ? ["\tif (!setjmp(end))", "\t\tmake_calls();"] : ["\tmake_calls();"])
    }

    /// What the exit codes mean, a line each.
    private var codes: [String] {
        guard decisions > 0 else {
            return [
                "0 every answer is the recorded one, be that right or wrong: the record does not say",
                "1 an answer differs", "4 a device is not there",
            ]
        }
        guard knowsRight else {
            return [
                "1 the bug is present",
                "4 it is not shown; that the kernel is right cannot be told from its answers, so 0 never comes",
            ]
        }
        return [
            "0 the kernel answers as a right one does", "1 the bug is present",
            "4 neither is shown: a device is not there, or another answer than the bug's differs",
        ]
    }

    /// What an argument may be.
    private var kinds: String {
        var kinds = rdmaDevices.count < paths.count ? ["a path"] : []
        if takesAddresses { kinds.append("the PCI address of a device of vfio-pci") }
        if !rdmaDevices.isEmpty { kinds.append("an RDMA device's name") }
        return kinds.count < 3 ? kinds.joined(separator: ", or ") : "\(kinds[0]), \(kinds[1]), or \(kinds[2])"
    }

    /// An argument in place of a device's path.
    private func taken(_ argument: String, inPlaceOf path: String) -> String {
        takesAddresses ? "device(\(argument), \(path))" : argument
    }

    private var main: [String] {
        var lines = ["static const char help[] ="]
        if !paths.isEmpty {
            lines.append("\t\"DEVICE is \(kinds), in place of, in order:\\n\"")
            lines.append("\t\"  \" \(paths.map { CText.quoted($0) }.joined(separator: " \", \" ")) \"\\n\"")
        }
        lines.append("\t\"Exit codes:\\n\"")
        lines += codes.enumerated().map { index, text in "\t\"  \(text)\\n\"" + (index + 1 == codes.count ? ";" : "") }
        lines += [
            "", "int main(int count, char **arguments)", "{",
            "\tint is_help = count > 1 && (!strcmp(arguments[1], \"--help\") || !strcmp(arguments[1], \"-h\"));", "",
            "\tif (count > \(paths.count + 1) || (count > 1 && arguments[1][0] == '-')) {",
            "\t\tfprintf(is_help ? stdout : stderr, \"usage: %s\(paths.isEmpty ? "" : " [DEVICE...]")\\n%s\", arguments[0], help);",
            "\t\treturn is_help ? 0 : 4;", "\t}",
        ]
        if !paths.isEmpty {
            lines += [
                "\tfor (int i = 1; i < count; i++)",
                "\t\tpaths[i - 1] = \(taken("arguments[i]", inPlaceOf: "paths[i - 1]"));",
            ]
        }
        lines += calls
        if decisions > 0 {
            lines += [
                "\tprintf(\"%s\\n\", present ? \"the bug is present\" : right == \(decisions) ? \"the bug is not there\" :",
                "\t       \"neither the bug nor a right kernel is shown\");",
                "\treturn present ? 1 : right == \(decisions) ? 0 : 4;", "}", "",
            ]
            return lines
        }
        if maySkip { lines += ["\tif (skipped && !differences)", "\t\treturn 4;"] }
        return lines + [
            "\tprintf(differences ? \"%d answers differ\\n\" : \"all answers as recorded\\n\", differences);",
            "\treturn differences != 0;", "}", "",
        ]
    }

    private var harness: [String] {
        var lines = codes.map { " * \($0)" }
        lines[0] = "/* Exit codes:\n" + lines[0]
        lines[lines.count - 1] += " */"
        lines += ["TEST(recorded)", "{"]
        if !paths.isEmpty {
            lines += [
                "\tconst char *devices = getenv(\"DEVICES\"); /* \(kinds), in order, with commas */",
                "\tchar *next = devices ? strtok(strdup(devices), \",\") : NULL;", "",
                "\tfor (int i = 0; next && i < \(paths.count); next = strtok(NULL, \",\"), i++)",
                "\t\tpaths[i] = \(taken("next", inPlaceOf: "paths[i]"));",
            ]
        }
        lines += calls
        if decisions > 0 {
            lines += [
                "\tif (!present && right < \(decisions))",
                "\t\tSKIP(return, \"neither the bug nor a right kernel is shown\");", "\tEXPECT_EQ(0, present);",
            ]
        } else {
            if maySkip { lines += ["\tif (skipped && !differences)", "\t\tSKIP(return, \"a device is not there\");"] }
            lines.append("\tEXPECT_EQ(0, differences);")
        }
        return lines + ["}", "", "TEST_HARNESS_MAIN", ""]
    }

    private static let device = """
        /* A path as it is; of a PCI address, that of its device, or of its group where `was` is one. */
        static const char *device(const char *argument, const char *was)
        {
        	int is_group = strncmp(was, "/dev/vfio/devices/", 18), is_noiommu = !strncmp(was, "/dev/vfio/noiommu-", 18);
        	char pattern[128], *place, *path;
        	glob_t found;

        	/* What the record has as an address goes to the kernel as one. */
        	if (strchr(argument, '/') || !strchr(was, '/'))
        		return argument;
        	snprintf(pattern, sizeof(pattern), "/sys/bus/pci/devices/%s/%s", argument,
        		 is_group ? "iommu_group" : "vfio-dev/vfio*");
        	if (glob(pattern, 0, NULL, &found) || !(place = realpath(found.gl_pathv[0], NULL)) ||
        	    asprintf(&path, is_noiommu ? "/dev/vfio/noiommu-%s" : is_group ? "/dev/vfio/%s" : "/dev/vfio/devices/%s",
        		     strrchr(place, '/') + 1) < 0) {
        		fprintf(stderr, "%s is not bound to vfio-pci\\n", argument);
        		exit(4);
        	}
        	return path;
        }

        """
}
