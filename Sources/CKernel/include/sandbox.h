/* What a process may still do once it is confined: seccomp(2) for calls, landlock(7) for files and ports. Both hold for
 * good, and for every thread that it starts later. Results are 0 or more, or a negated errno. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

/* What the filter of calls lets through beyond computing, reading files, and writing what is open. */
enum sandbox_calls {
    SANDBOX_DEVICES = 1, /* opening for writing, ioctl, eventfd, netlink: what devices are used through */
    SANDBOX_SOCKETS = 2, /* TCP and name look-ups, for roles on other machines */
    SANDBOX_RESULTS = 4, /* renaming a file of results over the one before it */
    SANDBOX_WRITING = 8, /* opening for writing: a store of results */
    SANDBOX_TERMINAL = 32, /* setting the terminal, to read lines that are edited */
    SANDBOX_MESSAGES = 16, /* messages over sockets that are open or come to one, and the descriptors in them */
};

/* Filters the calls of every thread of this process. ENOSYS or EINVAL: the kernel has no filters. */
long sandbox_filter(unsigned calls);

/* What is allowed below a path. */
enum sandbox_access {
    SANDBOX_READ = 1,    /* files and folders */
    SANDBOX_WRITE = 2,   /* existing files; of devices also their ioctls */
    SANDBOX_REPLACE = 4, /* making files and renaming them over others, in this folder */
    SANDBOX_EXECUTE = 8, /* programs and libraries */
};

/* The version of landlock that the kernel has; EOPNOTSUPP where it is switched off. */
long sandbox_landlock(void);
/* A descriptor of rules that allow nothing; close it when they hold. */
long sandbox_rules(void);
/* Adds one; ENOENT where there is no such path. */
long sandbox_allow(int rules, const char *_Nonnull path, unsigned access);
/* Lets TCP bind to a port and connect to it; 0 where this kernel's landlock knows no ports, and so stops none. */
long sandbox_allow_port(int rules, uint16_t port);
/* Makes the rules hold for this thread and those that it starts: call it while there is no other. */
long sandbox_restrict(int rules);

enum sandbox_resource {
    SANDBOX_MEMORY = RLIMIT_DATA,     /* bytes of private memory */
    SANDBOX_FILE_SIZE = RLIMIT_FSIZE, /* bytes; a write past it is EFBIG, no signal */
    SANDBOX_CPU_TIME = RLIMIT_CPU,    /* seconds of all threads; then the kernel ends the process */
};
/* At most so much of a resource, for good. */
long sandbox_limit(enum sandbox_resource resource, uint64_t most);
