#define _GNU_SOURCE
#include "include/emulator.h"
#include "include/process.h"
#include "include/sandbox.h"
#include "include/socket.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

long emulator_connection(int *ends) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ? -errno : 0; }

int emulator_mentions(const char *path, const char *text) {
    int found = 0, file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file >= 0 && fstat(file, &status) == 0 && status.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (bytes != MAP_FAILED) {
            found = memmem(bytes, (size_t)status.st_size, text, strlen(text)) != NULL;
            munmap(bytes, (size_t)status.st_size);
        }
    }
    if (file >= 0) close(file);
    return found;
}

static int limit(int resource, uint64_t most) {
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)resource, &now) < 0) return -1;
    if (now.rlim_max < most) most = now.rlim_max;
    struct rlimit value = { most, most };
    return setrlimit((__rlimit_resource_t)resource, &value);
}

static int place(const struct emulator *emulator) {
    int from[16], count = (int)emulator->count;
    /* First duplicated to 16 and above: a source number may be another descriptor's target. */
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

/* Drops root's supplementary groups before the change of user. */
static int leave_root(uid_t user) {
    if (user == 0) return 0;
    if (setgroups(0, NULL) < 0) return -1;
    return setresgid(user, user, user) < 0 ? -1 : setresuid(user, user, user);
}

/* It has the connections that it was given; another one could lead to a service that acts for its user, such as an agent of
 * keys or a service manager, whose paths no landlock closes. io_uring makes sockets too.
 * An emulator that connects to its devices by path gets a connection of ours from socket(2), and connect(2) then does nothing,
 * whatever path it has: what asks is answered by `emulator_give`. */
static int without_sockets(int *requests) {
    enum { refused = SECCOMP_RET_ERRNO | EACCES, done = SECCOMP_RET_ERRNO };
    unsigned unix_socket = requests ? SECCOMP_RET_USER_NOTIF : refused;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        /* The numbers of x32 are others for the same calls. */
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 8, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bind, 7, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 6, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_connect, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 3, 2),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, requests ? done : refused),
        BPF_STMT(BPF_RET | BPF_K, refused),
        BPF_STMT(BPF_RET | BPF_K, unix_socket),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, code };
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, requests ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0, &program);
    if (result >= 0 && requests) *requests = (int)result;
    return result < 0 ? -1 : 0;
}

long emulator_give(int requests, int connection) {
    struct seccomp_notif request = { 0 };
    if (ioctl(requests, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0) return -errno;
    if (connection < 0) {
        struct seccomp_notif_resp refusal = { .id = request.id, .error = -EACCES };
        return ioctl(requests, SECCOMP_IOCTL_NOTIF_SEND, &refusal) < 0 ? -errno : 0;
    }
    struct seccomp_notif_addfd answer = {
        .id = request.id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (uint32_t)connection, .newfd_flags = O_CLOEXEC
    };
    return ioctl(requests, SECCOMP_IOCTL_NOTIF_ADDFD, &answer) < 0 ? -errno : 0;
}

static int confine(const struct emulator *emulator, int told) {
    if (limit(RLIMIT_CORE, 0) < 0 || limit(RLIMIT_FSIZE, emulator->file_size) < 0 ||
        limit(RLIMIT_AS, emulator->address_space) < 0 || limit(RLIMIT_CPU, emulator->cpu_time) < 0)
        return -1;
    if (leave_root(emulator->user) < 0) return -1;
    /* setresuid clears PR_SET_PDEATHSIG, so it is set after it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -1;
    long result = emulator->rules >= 0 ? sandbox_restrict(emulator->rules) : 0;
    if (result < 0) errno = (int)-result;
    if (result < 0) return -1;
    int requests = -1;
    if (without_sockets(emulator->asks_for_sockets ? &requests : NULL) < 0) return -1;
    char nothing = 0;
    return requests < 0 || socket_send(told, &nothing, 1, &requests, 1) == 1 ? 0 : -1;
}

static void become(const struct emulator *emulator, pid_t parent, int failure, int requests) {
    int told = fcntl(failure, F_DUPFD_CLOEXEC, 64);
    int asked = requests < 0 ? -1 : fcntl(requests, F_DUPFD_CLOEXEC, 64);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    setsid();
    if (place(emulator) == 0 && confine(emulator, asked) == 0 && getppid() == parent) {
        close_range((unsigned)(2 + emulator->count), ~0U, CLOSE_RANGE_CLOEXEC);
        execve(emulator->program, emulator->arguments, emulator->environment);
    }
    process_failed(told);
}

long emulator_start(struct emulator *emulator) {
    emulator->requests = -1;
    if (emulator->count > 13) return -E2BIG;
    int ends[2], requests[2] = { -1, -1 };
    if (emulator->asks_for_sockets && emulator_connection(requests) < 0) return -errno;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        int error = errno;
        close(requests[0]);
        close(requests[1]);
        return -error;
    }
    pid_t parent = getpid(), child = fork();
    if (child == 0) become(emulator, parent, ends[1], requests[1]);
    long result = process_started(child, ends);
    if (emulator->asks_for_sockets) {
        close(requests[1]);
        /* The child sent it before process_started returned. */
        char nothing;
        size_t count = 1;
        if (result > 0) socket_receive(requests[0], &nothing, 1, &emulator->requests, &count);
        close(requests[0]);
    }
    return result;
}
