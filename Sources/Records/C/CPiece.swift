/// A function of the exported program that calls need, and what it needs itself.
struct CPiece {
    /// The function by whose calls it is known.
    let name: String
    var needs: [String] = []
    let text: String

    /// The ones that lines need, also by each other, in the order in which C wants them. `decides`: the record knows a bug;
    /// `goesOn`: calls follow one that shows it in the same case.
    static func needed(by lines: [String], decides: Bool, goesOn: Bool) -> [CPiece] {
        var calls = CTokens.calls(lines)
        let all = all(decides, goesOn)
        for piece in all.reversed() where calls.contains(piece.name) { calls.formUnion(piece.needs) }
        return all.filter { calls.contains($0.name) }
    }

    /// Most bytes that `loaded` compares: as many as a record keeps of what was read.
    static let longestLoad = 64

    /// Headers besides those that every program includes, by a function that it calls.
    static let headers: [(function: String, header: String)] = [
        ("eventfd", "sys/eventfd.h"), ("glob", "glob.h"), ("memfd_create", "sys/mman.h"), ("mmap", "sys/mman.h"),
        ("munmap", "sys/mman.h"),
        ("poll", "poll.h"), ("setjmp", "setjmp.h"), ("sigsetjmp", "setjmp.h"), ("signal", "signal.h"),
    ]

    /// Each before the ones that need it.
    private static func all(_ decides: Bool, _ goesOn: Bool) -> [CPiece] {
        let unless = goesOn ? " && !decided" : ""
        let stop =
            decides ? "\n\tif (got < 0 || wanted < 0)\n\t\tlongjmp(end, 1); /* Without it nothing is shown. */" : ""
        return [
            CPiece(
                name: "result",
                text: "static long result(long value) { return value < 0 ? -errno : value; }"),
            CPiece(
                name: "error_text",
                text:
                    "static const char *error_text(long answer) { return answer < 0 ? strerror((int)-answer) : \"no error\"; }\n"
            ),
            CPiece(
                name: "answer", needs: ["error_text"] + (decides ? ["longjmp"] : []),
                text: """
                    /* Compares an answer, below 0 an errno, with the recorded one. */
                    static void answer(int call, const char *name, long got, long wanted)
                    {
                    	if (got == wanted\(goesOn ? " || decided" : ""))
                    		return;
                    	printf("call %d: %s: %ld (%s), was %ld (%s) when it was recorded\\n", call, name,
                    	       got, error_text(got), wanted, error_text(wanted));
                    	differences++;\(stop)
                    }

                    """),
            CPiece(
                name: "given", needs: ["answer", "longjmp", "error_text"],
                text: """
                    /* Of a call that gives what later ones need. */
                    static long given(int call, const char *name, long got)
                    {
                    	answer(call, name, got < 0 ? got : 0, 0);\(decides && !goesOn ? "" : "\n\tif (got < 0)\n\t\tlongjmp(end, 1);")
                    	return got;
                    }

                    """),
            CPiece(
                name: "decide",
                text: """
                    /* The answer that shows the bug. */
                    static void decide(int call, const char *name, const char *got, int is_wrong, int is_right)
                    {
                    	printf("call %d: %s: %s: %s\\n", call, name, got, is_wrong ? "the bug is present" :
                    	       is_right ? "as a right kernel answers" : "neither the bug nor a right answer");
                    	present += is_wrong;
                    	right += !is_wrong && is_right && !differences;\(goesOn ? "\n\tdecided = !is_wrong;" : "")
                    }

                    """),
            CPiece(
                name: "equal",
                text: """
                    static void equal(int call, const char *what, unsigned long long got, unsigned long long wanted)
                    {
                    	if (got != wanted\(unless)) {
                    		printf("call %d: %s is %lld, was %lld when it was recorded\\n", call, what, (long long)got,
                    		       (long long)wanted);
                    		differences++;
                    	}
                    }

                    """),
            CPiece(
                name: "same_bytes",
                text: """
                    static void same_bytes(int call, const char *what, const void *got, const void *wanted, size_t count)
                    {
                    	if (memcmp(got, wanted, count)\(unless)) {
                    		printf("call %d: %s holds other bytes than when it was recorded\\n", call, what);
                    		differences++;
                    	}
                    }

                    """),
            CPiece(
                name: "stop", needs: ["longjmp"],
                text: """
                    /* What later calls need is not there. */
                    __attribute__((noreturn)) static void stop(int call, const char *what)
                    {
                    	printf("call %d: %s is not there; nothing more is done\\n", call, what);
                    	if (!differences)
                    		differences = 1;
                    	longjmp(end, 1);
                    }

                    """),
            CPiece(
                name: "opened", needs: ["longjmp"],
                text: """
                    /* Opens a device; a machine without it is no place for this. */
                    static int opened(int call, const char *path, int flags)
                    {
                    	int fd = open(path, flags);

                    	if (fd < 0) {
                    		printf("call %d: %s: %s; nothing more is done\\n", call, path, strerror(errno));
                    		skipped = 1;
                    		longjmp(end, 1);
                    	}
                    	return fd;
                    }

                    """),
            CPiece(
                name: "at_end_of_page", needs: ["mmap"],
                text: """
                    /* A copy that ends where readable memory ends: a kernel that reads on gets EFAULT. Each call has its own area. */
                    static void *at_end_of_page(void **area, const void *bytes, size_t count)
                    {
                    	size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (count + page - 1) / page * page;

                    	if (!*area) {
                    		char *memory = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

                    		if (memory == MAP_FAILED || mprotect(memory + whole, page, PROT_NONE)) {
                    			perror("memory for an argument");
                    			exit(4);
                    		}
                    		*area = memory + whole - count;
                    	}
                    	return memcpy(*area, bytes, count);
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
            CPiece(
                name: "loaded", needs: ["stop", "answer", "copy", "same_bytes"],
                text: """
                    /* Reads memory that was mapped, and compares what is there. */
                    static void loaded(int call, const char *name, const void *area, size_t offset, const char *wanted, size_t count)
                    {
                    	char data[\(longestLoad)] = { 0 };

                    	if (!area)
                    		stop(call, name);
                    	answer(call, "load", copy(data, (const char *)area + offset, count), 0);
                    	same_bytes(call, "load", data, wanted, count);
                    }

                    """),
            CPiece(
                name: "stored", needs: ["stop", "answer", "copy"],
                text: """
                    /* Writes memory that was mapped. */
                    static void stored(int call, const char *name, void *area, size_t offset, const char *data, size_t count)
                    {
                    	if (!area)
                    		stop(call, name);
                    	answer(call, "store", copy((char *)area + offset, data, count), 0);
                    }

                    """),
        ]
    }
}
