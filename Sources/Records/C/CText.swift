import Kernel

/// Pieces of C.
enum CText {
    static func number(_ value: UInt64) -> String {
        if value < 10 { return String(value) }
        let digits = "0x" + String(value, radix: 16)
        return value > 0xffff_ffff ? digits + "ULL" : value > 0x7fff_ffff ? digits + "U" : digits
    }

    static func identifier(_ symbol: String) -> String {
        String(symbol.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
    }

    /// Whether a text is a name in C that a program may give: an identifier, and no keyword.
    static func isName(_ text: some StringProtocol) -> Bool {
        let isIdentifier = text.utf8.enumerated().allSatisfy { index, byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"): index > 0
            default: false
            }
        }
        return isIdentifier && !text.isEmpty && text.utf8.count <= 64 && !keywords.contains(String(text))
    }

    /// Of C23 and of GNU C.
    private static let keywords: Set<String> = [
        "alignas", "alignof", "asm", "auto", "bool", "break", "case", "char", "const", "constexpr", "continue",
        "default", "do", "double", "else", "enum", "extern", "false", "float", "for", "goto", "if", "inline", "int",
        "long", "nullptr", "register", "restrict", "return", "short", "signed", "sizeof", "static", "static_assert",
        "struct", "switch", "thread_local", "true", "typedef", "typeof", "typeof_unqual", "union", "unsigned", "void",
        "volatile", "while", "_Alignas", "_Alignof", "_Atomic", "_BitInt", "_Bool", "_Complex", "_Decimal128",
        "_Decimal32", "_Decimal64", "_Generic", "_Imaginary", "_Noreturn", "_Static_assert", "_Thread_local",
        "__asm__", "__attribute__", "__extension__", "__typeof__", "_Pragma", "linux", "unix",
    ]

    /// A structure's member in C. Names in capital letters, and some others, may be macros of the headers that the file includes;
    /// and gaps have names of their own.
    static func member(_ name: String) -> String {
        let isMacro = !name.contains(where: \.isLowercase) || headerNames.contains(name)
        return isMacro || reservedPrefixes.contains(where: name.hasPrefix) ? "member_" + name : name
    }

    private static let headerNames: Set<String> = [
        "errno", "stdin", "stdout", "stderr", "sched_priority", "st_atime", "st_mtime", "st_ctime",
    ]
    private static let reservedPrefixes = ["_", "gap_", "member_", "ibv_", "sa_", "si_", "sigev_"]

    /// As text in a comment: it cannot end it, nor go on in the next line, nor hold a trigraph.
    static func comment(_ text: String) -> String {
        var result = ""
        var last: Unicode.Scalar = " "
        for scalar in PrintableText.line(text).unicodeScalars {
            let shown = scalar.isASCII ? scalar : "?"
            switch (last, shown) {
            case ("*", "/"), ("/", "*"), ("?", "?"): result += " "
            default: break
            }
            result.unicodeScalars.append(shown)
            last = shown
        }
        return last == "\\" ? result + "." : result
    }

    /// A string constant.
    static func quoted(_ text: String) -> String { quoted(Array(text.utf8)) }

    /// The same of bytes.
    static func quoted(_ bytes: [UInt8]) -> String {
        var result = "\""
        for byte in bytes {
            switch byte {
            // Two question marks begin a trigraph.
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "?"):
                result += "\\" + String(UnicodeScalar(byte))
            case 0x20..<0x7f: result += String(UnicodeScalar(byte))
            default:
                // Three octal digits end by themselves, which hexadecimal ones do not.
                let digits = String(byte, radix: 8)
                result += "\\" + String(repeating: "0", count: 3 - digits.count) + digits
            }
        }
        return result + "\""
    }

    /// "{ 0x01, 0x02 }", cut where the rest is zeros.
    static func bytes(_ bytes: [UInt8]) -> String {
        let used = bytes.count - bytes.reversed().prefix { $0 == 0 }.count
        // No list of C's is empty.
        guard used > 0 else { return "{ 0 }" }
        let list = bytes[..<used].map { "0x" + hexDigits($0, width: 2) }
        return "{ " + list.joined(separator: ", ") + " }"
    }

    static let includes = """
        #define _GNU_SOURCE
        #include <errno.h>
        #include <fcntl.h>
        #include <glob.h>
        #include <poll.h>
        #include <setjmp.h>
        #include <signal.h>
        #include <stdbool.h>
        #include <stdint.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/eventfd.h>
        #include <sys/ioctl.h>
        #include <sys/mman.h>
        #include <unistd.h>
        """

    static let verbs = """
        #include <dlfcn.h>
        #include <infiniband/verbs.h>
        """

    static let harness = """
        #include "kselftest_harness.h"

        static int differences;
        """

    static let helpers = """
        static int differences;
        """

    static let checks = """
        #define UNUSED __attribute__((unused))

        /* A result as the kernel gives it: 0 or more, or a negated errno. */
        UNUSED static long result(long value)
        {
        	return value < 0 ? -errno : value;
        }

        UNUSED static void differs(int line, const char *what, long long got, long long wanted)
        {
        	printf("line %d: %s is %lld, was %lld when it was recorded\\n", line, what, got, wanted);
        	differences++;
        }

        /* Of a call: the errno that it was refused with, or 0. */
        UNUSED static void refused(int line, const char *call, long value, int wanted)
        {
        	int got = value < 0 ? (int)-value : 0;

        	if (got != wanted) {
        		printf("line %d: %s: %s, was %s when it was recorded\\n", line, call, got ? strerror(got) : "no error",
        		       wanted ? strerror(wanted) : "no error");
        		differences++;
        	}
        }

        UNUSED static void equal(int line, const char *what, unsigned long long got, unsigned long long wanted)
        {
        	if (got != wanted)
        		differs(line, what, (long long)got, (long long)wanted);
        }

        UNUSED static void same_bytes(int line, const char *what, const void *got, const void *wanted, size_t count)
        {
        	if (memcmp(got, wanted, count)) {
        		printf("line %d: %s holds other bytes than when it was recorded\\n", line, what);
        		differences++;
        	}
        }

        UNUSED static void lacking(int line, const char *what)
        {
        	printf("line %d: not done, as %s is not there\\n", line, what);
        	differences++;
        }

        /* A copy that ends where readable memory ends: a kernel that reads on gets EFAULT. The latest 32 are kept. */
        UNUSED static void *at_end_of_page(const void *bytes, size_t count)
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

        /* SIGBUS where the device behind a mapping does not answer, SIGSEGV where the mapping does not permit it. */
        static sigjmp_buf fault;
        static volatile sig_atomic_t copying;

        static void on_fault(int number)
        {
        	if (copying)
        		siglongjmp(fault, number);
        	signal(number, SIG_DFL);
        }

        UNUSED static long copy(void *to, const void *from, size_t count)
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

        /* An argument in place of a device's path: another path, or a PCI address. */
        UNUSED static void take(int index, const char *argument)
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
        		exit(2);
        	}
        }

        """

    static let main = """
        int main(int count, char **arguments)
        {
        	signal(SIGBUS, on_fault);
        	signal(SIGSEGV, on_fault);
        	for (int i = 1; i < count && paths[i - 1]; i++)
        		take(i - 1, arguments[i]);
        	run();
        	printf(differences ? "%d answers differ\\n" : "all answers as recorded\\n", differences);
        	return differences != 0;
        }

        """

    static let harnessMain = """
        TEST(recorded)
        {
        	const char *devices = getenv("DEVICES"); /* paths or PCI addresses, in order, with commas */
        	char *list = devices ? strdup(devices) : NULL;
        	int index = 0;

        	signal(SIGBUS, on_fault);
        	signal(SIGSEGV, on_fault);
        	for (char *next = list ? strtok(list, ",") : NULL; next && paths[index]; next = strtok(NULL, ","))
        		take(index++, next);
        	run();
        	EXPECT_EQ(0, differences);
        	free(list);
        }

        TEST_HARNESS_MAIN

        """
}
