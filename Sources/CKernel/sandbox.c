#define _GNU_SOURCE
#include "include/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- Calls ------------------------------------------------------------------------------------------------------- */

/* What computing, waiting and reading take, and writing to what is open. Headers that are older than a call lack its name. */
static const int plain[] = {
    SYS_read, SYS_write, SYS_pread64, SYS_pwrite64, SYS_readv, SYS_writev, SYS_close, SYS_close_range, SYS_lseek,
    SYS_futex, SYS_clock_gettime, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_time, SYS_clock_getres,
    SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_msync, SYS_memfd_create, SYS_ftruncate,
    SYS_fstat, SYS_newfstatat, SYS_stat, SYS_lstat, SYS_statx, SYS_access, SYS_faccessat, SYS_faccessat2,
    SYS_readlink, SYS_readlinkat, SYS_getcwd, SYS_getdents64, SYS_poll, SYS_ppoll, SYS_select, SYS_pselect6,
    SYS_dup, SYS_dup2, SYS_dup3, SYS_flock, SYS_fsync, SYS_fdatasync,
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigpending, SYS_rt_sigtimedwait, SYS_sigaltstack,
    SYS_exit, SYS_exit_group, SYS_set_robust_list, SYS_set_tid_address, SYS_rseq, SYS_membarrier, SYS_restart_syscall,
    SYS_sched_yield, SYS_sched_getaffinity, SYS_sched_getparam, SYS_sched_getscheduler, SYS_getcpu,
    SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_uname, SYS_sysinfo,
    SYS_getrandom, SYS_getrusage, SYS_getrlimit, SYS_times,
};
static const int for_devices[] = { SYS_eventfd2, SYS_mlock, SYS_mlock2, SYS_munlock, SYS_mbind, SYS_get_mempolicy };
static const int for_sockets[] = {
    SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_shutdown, SYS_setsockopt, SYS_getsockopt,
    SYS_getsockname, SYS_getpeername, SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_sendmmsg,
};
static const int for_netlink[] = {
    SYS_bind, SYS_setsockopt, SYS_getsockname, SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg,
};
static const int for_messages[] = { SYS_sendmsg, SYS_recvmsg, SYS_accept4, SYS_fstatfs };
static const int for_results[] = { SYS_mkdir, SYS_rename, SYS_renameat, SYS_renameat2, SYS_unlink, SYS_unlinkat };

struct program {
    struct sock_filter code[600];
    unsigned short count;
};

static void put(struct program *p, uint16_t code, uint8_t yes, uint8_t no, uint32_t k) {
    p->code[p->count++] = (struct sock_filter){ code, yes, no, k };
}
static void answer(struct program *p, uint32_t action) { put(p, BPF_RET | BPF_K, 0, 0, action); }
static void refuse(struct program *p, int error) { answer(p, SECCOMP_RET_ERRNO | (uint32_t)error); }
static void load(struct program *p, size_t offset) { put(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset); }
static void load_argument(struct program *p, int number) {
    load(p, offsetof(struct seccomp_data, args) + 8 * (size_t)number);
}

static void allow_all(struct program *p, const int *calls, size_t count) {
    for (size_t i = 0; i < count; i++) {
        put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)calls[i]);
        answer(p, SECCOMP_RET_ALLOW);
    }
}
#define ALLOW(p, calls) allow_all(p, calls, sizeof calls / sizeof *calls)

/* What follows is for one call, up to end_call. */
static unsigned short begin_call(struct program *p, int call) {
    put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint32_t)call);
    return p->count;
}
static void end_call(struct program *p, unsigned short begin) { p->code[begin - 1].jf = (uint8_t)(p->count - begin); }

/* One call that is refused with `error` where an argument has any of some bits; the kernel looks at 32 of them. */
static void without_bits(struct program *p, int call, int argument, uint32_t bits, int error) {
    unsigned short begin = begin_call(p, call);
    load_argument(p, argument);
    put(p, BPF_JMP | BPF_JSET | BPF_K, 0, 1, bits);
    refuse(p, error);
    answer(p, SECCOMP_RET_ALLOW);
    end_call(p, begin);
}

/* One call whose argument must be one of some values, or must not be. */
static void one_of(struct program *p, int call, int argument, const uint32_t *values, size_t count, bool allowed) {
    unsigned short begin = begin_call(p, call);
    load_argument(p, argument);
    for (size_t i = 0; i < count; i++) {
        put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, values[i]);
        if (allowed) answer(p, SECCOMP_RET_ALLOW);
        else refuse(p, EPERM);
    }
    if (allowed) refuse(p, EPERM);
    else answer(p, SECCOMP_RET_ALLOW);
    end_call(p, begin);
}
#define ONE_OF(p, call, argument, allowed, ...)                                                                        \
    do {                                                                                                               \
        const uint32_t values[] = { __VA_ARGS__ };                                                                     \
        one_of(p, call, argument, values, sizeof values / sizeof *values, allowed);                                    \
    } while (0)

static void put_processes(struct program *p) {
    /* Threads, but no process. clone3 has its flags in memory; without it the C library uses clone. */
    unsigned short begin = begin_call(p, SYS_clone);
    load_argument(p, 0);
    put(p, BPF_JMP | BPF_JSET | BPF_K, 1, 0, CLONE_THREAD);
    refuse(p, EPERM);
    answer(p, SECCOMP_RET_ALLOW);
    end_call(p, begin);
    begin = begin_call(p, SYS_clone3);
    refuse(p, ENOSYS);
    end_call(p, begin);
    /* Itself: signals to its threads, and its own memory at any address. */
    uint32_t self = (uint32_t)getpid();
    ONE_OF(p, SYS_kill, 0, true, self);
    ONE_OF(p, SYS_tgkill, 0, true, self);
    ONE_OF(p, SYS_process_vm_readv, 0, true, self);
    ONE_OF(p, SYS_process_vm_writev, 0, true, self);
    ONE_OF(p, SYS_prctl, 0, true, PR_SET_NAME, PR_GET_NAME, 0x53564d41 /* PR_SET_VMA: names of mappings */);
    /* Its own limits may be read. */
    begin = begin_call(p, SYS_prlimit64);
    load_argument(p, 0);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 0);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, self);
    refuse(p, EPERM);
    for (size_t half = 0; half < 8; half += 4) {
        load(p, offsetof(struct seccomp_data, args[2]) + half);
        put(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0);
        refuse(p, EPERM);
    }
    answer(p, SECCOMP_RET_ALLOW);
    end_call(p, begin);
}

static void put_files(struct program *p, unsigned calls) {
    bool devices = calls & SANDBOX_DEVICES, writing_too = calls & SANDBOX_WRITING;
    /* No fcntl that sends signals to other processes (F_SETOWN, F_SETSIG) or watches files (F_NOTIFY, F_SETLEASE). */
    ONE_OF(p, SYS_fcntl, 1, false, F_SETOWN, F_SETSIG, 15 /* F_SETOWN_EX */, F_SETLEASE, F_NOTIFY);
    if (devices) {
        ALLOW(p, for_devices);
        static const int opens[] = { SYS_open, SYS_openat, SYS_mmap, SYS_mprotect };
        ALLOW(p, opens);
        /* TIOCSTI and TIOCLINUX insert input into the terminal, which its shell would run. */
        ONE_OF(p, SYS_ioctl, 1, false, TIOCSTI, 0x541c /* TIOCLINUX */, TIOCSETD, TIOCSCTTY);
        return;
    }
    enum { writing = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY) };
    without_bits(p, SYS_open, 1, writing_too ? 0 : writing, EACCES);
    without_bits(p, SYS_openat, 2, writing_too ? 0 : writing, EACCES);
    if (calls & SANDBOX_TERMINAL) ONE_OF(p, SYS_ioctl, 1, true, TCGETS, TIOCGWINSZ, TCSETS, TCSETSW, TCSETSF, FIONREAD);
    else ONE_OF(p, SYS_ioctl, 1, true, TCGETS, TIOCGWINSZ);
    /* No new code. */
    without_bits(p, SYS_mmap, 2, PROT_EXEC, EACCES);
    without_bits(p, SYS_mprotect, 2, PROT_EXEC, EACCES);
}

long sandbox_filter(unsigned calls) {
    struct program p = { .count = 0 };
    load(&p, offsetof(struct seccomp_data, arch));
    put(&p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64);
    answer(&p, SECCOMP_RET_KILL_PROCESS);
    load(&p, offsetof(struct seccomp_data, nr));
    ALLOW(&p, plain);
    bool devices = calls & SANDBOX_DEVICES;
    if (calls & SANDBOX_SOCKETS) ALLOW(&p, for_sockets);
    if (devices) ALLOW(&p, for_netlink);
    if (calls & SANDBOX_MESSAGES) ALLOW(&p, for_messages);
    if (calls & SANDBOX_RESULTS) ALLOW(&p, for_results);
    if (calls & SANDBOX_SOCKETS) ONE_OF(&p, SYS_socket, 0, true, AF_NETLINK, AF_INET, AF_INET6);
    else if (devices) ONE_OF(&p, SYS_socket, 0, true, AF_NETLINK);
    put_files(&p, calls);
    put_processes(&p);
    refuse(&p, EPERM);
    struct sock_fprog program = { p.count, p.code };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0 ? 0 : -errno;
}

/* --- Files and ports --------------------------------------------------------------------------------------------- */

/* Numbers and structures as the kernel has them, since headers are often older: Documentation/userspace-api/landlock.rst. */
enum {
    LANDLOCK_CREATE_RULESET = 444,
    LANDLOCK_ADD_RULE = 445,
    LANDLOCK_RESTRICT_SELF = 446,
    RULE_PATH = 1,
    RULE_PORT = 2,
};
enum {
    EXECUTE = 1 << 0, WRITE_FILE = 1 << 1, READ_FILE = 1 << 2, READ_DIR = 1 << 3, REMOVE_DIR = 1 << 4,
    REMOVE_FILE = 1 << 5, MAKE_REG = 1 << 8,
    BEFORE_REFER = (1 << 13) - 1, REFER = 1 << 13, TRUNCATE = 1 << 14, IOCTL_DEVICE = 1 << 15,
    BIND_TCP = 1, CONNECT_TCP = 2,
    SCOPES = 3, /* abstract sockets and signals of processes outside */
};
struct rules { uint64_t files, ports, scopes; };
struct path_rule { uint64_t access; int32_t parent; } __attribute__((packed));
struct port_rule { uint64_t access, port; };

long sandbox_landlock(void) {
    long version = syscall(LANDLOCK_CREATE_RULESET, NULL, 0, 1 /* which version */);
    return version < 0 ? -errno : version;
}

static uint64_t known_files(long version) {
    uint64_t files = BEFORE_REFER;
    if (version >= 2) files |= REFER;
    if (version >= 3) files |= TRUNCATE;
    if (version >= 5) files |= IOCTL_DEVICE;
    return files;
}

long sandbox_rules(void) {
    long version = sandbox_landlock();
    if (version < 0) return version;
    struct rules rules = { .files = known_files(version) };
    size_t size = sizeof rules.files;
    if (version >= 4) rules.ports = BIND_TCP | CONNECT_TCP, size = 2 * sizeof rules.files;
    if (version >= 6) rules.scopes = SCOPES, size = sizeof rules;
    long result = syscall(LANDLOCK_CREATE_RULESET, &rules, size, 0);
    return result < 0 ? -errno : result;
}

long sandbox_allow(int rules, const char *path, unsigned access) {
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) return -errno;
    struct stat status;
    bool folder = fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
    struct path_rule rule = { .parent = fd };
    if (access & SANDBOX_READ) rule.access |= READ_FILE | (folder ? READ_DIR : 0);
    if (access & SANDBOX_WRITE) rule.access |= WRITE_FILE | IOCTL_DEVICE | TRUNCATE;
    if ((access & SANDBOX_REPLACE) && folder) rule.access |= MAKE_REG | REMOVE_FILE;
    if (access & SANDBOX_EXECUTE) rule.access |= EXECUTE;
    rule.access &= known_files(sandbox_landlock());
    long result = syscall(LANDLOCK_ADD_RULE, rules, RULE_PATH, &rule, 0) == 0 ? 0 : -errno;
    close(fd);
    return result;
}

long sandbox_allow_port(int rules, uint16_t port) {
    if (sandbox_landlock() < 4) return 0;
    struct port_rule rule = { BIND_TCP | CONNECT_TCP, port };
    return syscall(LANDLOCK_ADD_RULE, rules, RULE_PORT, &rule, 0) == 0 ? 0 : -errno;
}

long sandbox_restrict(int rules) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
    return syscall(LANDLOCK_RESTRICT_SELF, rules, 0) == 0 ? 0 : -errno;
}

long sandbox_limit(enum sandbox_resource resource, uint64_t most) {
    struct rlimit limit;
    if (resource == SANDBOX_FILE_SIZE && signal(SIGXFSZ, SIG_IGN) == SIG_ERR) return -errno;
    if (getrlimit((int)resource, &limit) < 0) return -errno;
    if (limit.rlim_cur <= most) return 0;
    limit.rlim_cur = limit.rlim_max = most;
    return setrlimit((int)resource, &limit) == 0 ? 0 : -errno;
}
