/// A function of the exported program that calls need, and what it needs itself.
struct CPiece {
    /// The function by whose calls it is known.
    let name: String
    var needs: [String] = []
    let text: String

    /// The ones that lines need, also by each other, in the order in which C wants them.
    static func needed(by lines: [String]) -> [CPiece] {
        var calls = CTokens.calls(lines)
        for piece in all.reversed() where calls.contains(piece.name) { calls.formUnion(piece.needs) }
        return all.filter { calls.contains($0.name) }
    }

    /// Headers besides those that every program includes, by a function that it calls.
    static let headers: [(function: String, header: String)] = [
        ("eventfd", "sys/eventfd.h"), ("glob", "glob.h"), ("memfd_create", "sys/mman.h"), ("mmap", "sys/mman.h"),
        ("munmap", "sys/mman.h"),
        ("poll", "poll.h"), ("setjmp", "setjmp.h"), ("sigsetjmp", "setjmp.h"), ("signal", "signal.h"),
    ]

    /// Each before the ones that need it.
    private static let all = [
        CPiece(
            name: "result",
            text: """
                /* A result as the kernel gives it: 0 or more, or a negated errno. */
                static long result(long value)
                {
                	return value < 0 ? -errno : value;
                }

                """),
        CPiece(
            name: "refused",
            text: """
                /* Of a call: the errno that it was refused with, or 0. */
                static void refused(int line, const char *call, long value, int wanted)
                {
                	int got = value < 0 ? (int)-value : 0;

                	if (got != wanted) {
                		printf("line %d: %s: %s, was %s when it was recorded\\n", line, call,
                		       got ? strerror(got) : "no error", wanted ? strerror(wanted) : "no error");
                		differences++;
                	}
                }

                """),
        CPiece(
            name: "equal",
            text: """
                static void equal(int line, const char *what, unsigned long long got, unsigned long long wanted)
                {
                	if (got != wanted) {
                		printf("line %d: %s is %lld, was %lld when it was recorded\\n", line, what, (long long)got,
                		       (long long)wanted);
                		differences++;
                	}
                }

                """),
        CPiece(
            name: "same_bytes",
            text: """
                static void same_bytes(int line, const char *what, const void *got, const void *wanted, size_t count)
                {
                	if (memcmp(got, wanted, count)) {
                		printf("line %d: %s holds other bytes than when it was recorded\\n", line, what);
                		differences++;
                	}
                }

                """),
        CPiece(
            name: "stop", needs: ["longjmp"],
            text: """
                /* What later calls need is not there. */
                __attribute__((noreturn)) static void stop(int line, const char *what)
                {
                	printf("line %d: %s is not there; nothing more is done\\n", line, what);
                	if (!differences)
                		differences = 1;
                	longjmp(end, 1);
                }

                """),
        CPiece(
            name: "skip", needs: ["longjmp"],
            text: """
                /* This machine has no such device, or does not let us open it. */
                __attribute__((noreturn)) static void skip(int line, const char *path)
                {
                	printf("line %d: %s: %s; nothing more is done\\n", line, path, strerror(errno));
                	skipped = 1;
                	longjmp(end, 1);
                }

                """),
        CPiece(
            name: "at_end_of_page", needs: ["mmap"],
            text: """
                /* A copy that ends where readable memory ends: a kernel that reads on gets EFAULT. The latest 32 are kept. */
                static void *at_end_of_page(const void *bytes, size_t count)
                {
                	static struct { char *memory; size_t length; } areas[32];
                	static unsigned next;
                	size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (count + page - 1) / page * page;
                	char *memory = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

                	if (areas[next].memory)
                		munmap(areas[next].memory, areas[next].length);
                	areas[next].memory = memory;
                	areas[next].length = whole + page;
                	next = (next + 1) % 32;
                	if (memory == MAP_FAILED || mprotect(memory + whole, page, PROT_NONE))
                		abort();
                	return memcpy(memory + whole - count, bytes, count);
                }

                """),
        CPiece(
            name: "copy", needs: ["sigsetjmp", "signal"],
            text: """
                /* SIGBUS where the device behind a mapping does not answer, SIGSEGV where the mapping does not permit it. */
                static sigjmp_buf fault;
                static volatile sig_atomic_t copying;

                static void on_fault(int number)
                {
                	if (copying)
                		siglongjmp(fault, number);
                	signal(number, SIG_DFL);
                }

                static long copy(void *to, const void *from, size_t count)
                {
                	int number = sigsetjmp(fault, 1);

                	if (!number) {
                		copying = 1;
                		__atomic_signal_fence(__ATOMIC_SEQ_CST);
                		memcpy(to, from, count);
                		__atomic_signal_fence(__ATOMIC_SEQ_CST);
                	}
                	copying = 0;
                	return !number ? 0 : number == SIGBUS ? -EIO : -EFAULT;
                }

                """),
    ]
}

/// The lines around the calls: how the program begins and ends.
struct CFrame {
    /// The functions that the calls need.
    let names: Set<String>
    let hasPaths: Bool
    let isKselftest: Bool

    init(_ pieces: [CPiece], hasPaths: Bool, isKselftest: Bool) {
        names = Set(pieces.map(\.name))
        self.hasPaths = hasPaths
        self.isKselftest = isKselftest
    }

    private var mayStop: Bool { names.contains("stop") || names.contains("skip") }
    private var maySkip: Bool { names.contains("skip") }

    static let includes = [
        "errno.h", "fcntl.h", "stdint.h", "stdio.h", "stdlib.h", "string.h", "sys/ioctl.h", "unistd.h",
    ]

    var variables: [String] {
        ["static int differences;"] + (maySkip ? ["static int skipped;"] : [])
            + (mayStop ? ["static jmp_buf end;"] : []) + [""]
    }

    /// Between the calls and the program's beginning.
    var beginning: [String] {
        var lines: [String] = []
        if mayStop {
            lines += ["static void run(void)", "{", "\tif (!setjmp(end))", "\t\tmake_calls();", "}", ""]
        }
        if hasPaths { lines.append(CFrame.take) }
        return lines
    }

    private var calls: [String] {
        (names.contains("copy") ? ["\tsignal(SIGBUS, on_fault);", "\tsignal(SIGSEGV, on_fault);"] : [])
            + [mayStop ? "\trun();" : "\tmake_calls();"]
    }

    var end: String { (isKselftest ? harness : main).joined(separator: "\n") }

    private var main: [String] {
        var lines = [
            "static int usage(FILE *file, const char *name)", "{",
            "\tfprintf(file, \"usage: %s\(hasPaths ? " [DEVICE...]" : "")\\n\\n\"",
            "\t\t\"Makes the calls of a record again and compares each answer with the recorded one.\\n\"",
        ]
        if hasPaths {
            lines += [
                "\t\t\"Each DEVICE is a path or a PCI address, in place of, in order:\\n\", name);",
                "\tfor (int i = 0; paths[i]; i++)", "\t\tfprintf(file, \"  %s\\n\", paths[i]);",
                "\tfprintf(file, \"\\n\"",
            ]
        }
        lines += [
            "\t\t\"Ends with 0 where all answers are the recorded ones, 1 where one differs, 4 where a\\n\"",
            "\t\t\"device is not there. Of a record of a bug, 0 means that the bug is there.\\n\"\(hasPaths ? "" : ", name"));",
            "\treturn file == stderr;", "}", "",
            "int main(int count, char **arguments)", "{",
            "\tif (count > 1 && (!strcmp(arguments[1], \"--help\") || !strcmp(arguments[1], \"-h\")))",
            "\t\treturn usage(stdout, arguments[0]);",
        ]
        if hasPaths {
            lines += [
                "\tfor (int i = 1; i < count; i++) {",
                "\t\tif (arguments[i][0] == '-' || i > (int)(sizeof(paths) / sizeof(paths[0])) - 1)",
                "\t\t\treturn usage(stderr, arguments[0]);", "\t\ttake(i - 1, arguments[i]);", "\t}",
            ]
        } else {
            lines += ["\tif (count > 1)", "\t\treturn usage(stderr, arguments[0]);"]
        }
        lines += calls
        if maySkip { lines += ["\tif (skipped && !differences)", "\t\treturn 4;"] }
        lines += [
            "\tprintf(differences ? \"%d answers differ\\n\" : \"all answers as recorded\\n\", differences);",
            "\treturn differences != 0;", "}", "",
        ]
        return lines
    }

    private var harness: [String] {
        var lines = [
            "/* Passes where the answers are the recorded ones: of a record of a bug, where the bug is there. */",
            "TEST(recorded)", "{",
        ]
        if hasPaths {
            lines += [
                "\tconst char *devices = getenv(\"DEVICES\"); /* paths or PCI addresses, in order, with commas */",
                "\tchar *list = devices ? strdup(devices) : NULL;", "\tint index = 0;", "",
                "\tfor (char *next = list ? strtok(list, \",\") : NULL; next && paths[index]; next = strtok(NULL, \",\"))",
                "\t\ttake(index++, next);",
            ]
        }
        lines += calls
        if maySkip { lines += ["\tif (skipped && !differences)", "\t\tSKIP(return, \"a device is not there\");"] }
        return lines + ["\tEXPECT_EQ(0, differences);", "}", "", "TEST_HARNESS_MAIN", ""]
    }

    private static let take = """
        /* An argument in place of a device's path: another path, or a PCI address. */
        static void take(int index, const char *argument)
        {
        	char pattern[128];
        	glob_t found;

        	if (strchr(argument, '/')) {
        		paths[index] = argument;
        		return;
        	}
        	snprintf(pattern, sizeof(pattern), "/sys/bus/pci/devices/%s/vfio-dev/vfio*", argument);
        	if (!glob(pattern, 0, NULL, &found)) {
        		static char names[16][64];

        		snprintf(names[index % 16], sizeof(names[0]), "/dev/vfio/devices/%s",
        			 strrchr(found.gl_pathv[0], '/') + 1);
        		paths[index] = names[index % 16];
        		globfree(&found);
        	} else {
        		fprintf(stderr, "%s is not bound to vfio-pci\\n", argument);
        		exit(4);
        	}
        }

        """
}
