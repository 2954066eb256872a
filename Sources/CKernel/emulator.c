#define _GNU_SOURCE
#include "include/emulator.h"
#include "include/process.h"
#include "include/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

long emulator_connection(int *ends) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ? -errno : 0; }

static int limit(int resource, uint64_t most) {
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)resource, &now) < 0) return -1;
    if (now.rlim_max < most) most = now.rlim_max;
    struct rlimit value = { most, most };
    return setrlimit((__rlimit_resource_t)resource, &value);
}

static int place(const struct emulator *emulator) {
    int from[16], count = (int)emulator->count;
    /* All above what they become, for one may have another's number. */
    for (int i = 0; i < count; i++)
        if ((from[i] = fcntl(emulator->descriptors[i], F_DUPFD, 16)) < 0) return -1;
    int nothing = open("/dev/null", O_RDWR);
    if (nothing < 0) return -1;
    if ((nothing = fcntl(nothing, F_DUPFD, 16)) < 0) return -1;
    if (dup2(nothing, 0) < 0 || dup2(nothing, 1) < 0) return -1;
    for (int i = 0; i < count; i++)
        if (dup2(from[i], 2 + i) < 0) return -1;
    return 0;
}

/* A user of a program that was root's has no groups of root's either. */
static int leave_root(uid_t user) {
    if (user == 0) return 0;
    if (setgroups(0, NULL) < 0) return -1;
    return setresgid(user, user, user) < 0 ? -1 : setresuid(user, user, user);
}

/* It has the connections that it was given; another one could lead to a service that acts for its user, such as an agent of
 * keys or a service manager, whose paths no landlock closes. io_uring makes sockets too. */
static int without_sockets(void) {
    enum { refused = SECCOMP_RET_ERRNO | EACCES };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        /* The numbers of x32 are others for the same calls. */
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_connect, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bind, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, refused),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, code };
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static int confine(const struct emulator *emulator) {
    if (limit(RLIMIT_CORE, 0) < 0 || limit(RLIMIT_FSIZE, emulator->file_size) < 0 ||
        limit(RLIMIT_AS, emulator->address_space) < 0 || limit(RLIMIT_CPU, emulator->cpu_time) < 0)
        return -1;
    if (leave_root(emulator->user) < 0) return -1;
    /* A change of user forgets it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -1;
    long result = emulator->rules >= 0 ? sandbox_restrict(emulator->rules) : 0;
    if (result < 0) errno = (int)-result;
    return result < 0 ? -1 : without_sockets();
}

static void become(const struct emulator *emulator, pid_t parent, int failure) {
    int told = fcntl(failure, F_DUPFD_CLOEXEC, 64);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    setsid();
    if (place(emulator) == 0 && confine(emulator) == 0 && getppid() == parent) {
        close_range((unsigned)(2 + emulator->count), ~0U, CLOSE_RANGE_CLOEXEC);
        execve(emulator->program, emulator->arguments, emulator->environment);
    }
    process_failed(told);
}

long emulator_start(const struct emulator *emulator) {
    if (emulator->count > 13) return -E2BIG;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    pid_t parent = getpid(), child = fork();
    if (child == 0) become(emulator, parent, ends[1]);
    return process_started(child, ends);
}
