#define _GNU_SOURCE
#include "include/walls.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Each call is harmless where the sandbox lets it pass: most have invalid arguments. */

typedef struct wall_place place;

static long answer(long result) { return result < 0 ? -errno : result; }
#define CALL(number, ...) answer(syscall(number __VA_OPT__(, ) __VA_ARGS__))

static const char *beside(const char *path, char *room, size_t size, const char *name) {
    const char *slash = strrchr(path, '/');
    snprintf(room, size, "%.*s/%s", (int)(slash - path), path, name);
    return room;
}
#define BESIDE(path, name) beside(path, (char[4200]){ 0 }, 4200, name)

static long read_own(place p) { return answer(open(p.own, O_RDONLY)); }
static long write_own(place p) { return answer(open(p.own, O_WRONLY)); }
static long read_outside(place p) { return answer(open(p.outside, O_RDONLY)); }
static long list_outside(place p) { return answer(open(BESIDE(p.outside, "."), O_RDONLY | O_DIRECTORY)); }
static long write_outside(place p) { return answer(open(p.outside, O_WRONLY)); }
static long truncate_outside(place p) { return answer(truncate(p.outside, 0)); }
static long make_outside(place p) { return answer(open(BESIDE(p.outside, "new"), O_WRONLY | O_CREAT, 0600)); }
static long make_own(place p) { return answer(open(BESIDE(p.own, "new"), O_WRONLY | O_CREAT, 0600)); }
static long remove_outside(place p) { return answer(unlink(p.outside)); }
static long rename_outside(place p) { return answer(rename(p.outside, BESIDE(p.outside, "other"))); }
static long link_outside(place p) { return answer(link(p.outside, BESIDE(p.own, "link"))); }
static long symlink_own(place p) { return answer(symlink(p.outside, BESIDE(p.own, "symlink"))); }
static long mode_own(place p) { return answer(chmod(p.own, 04755)); }
static long owner_own(place p) { return answer(chown(p.own, 0, 0)); }
static long node(place p) { return answer(mknod(BESIDE(p.own, "node"), S_IFCHR | 0600, 0x103)); }
static long handle(place p) { (void)p; return CALL(SYS_open_by_handle_at, AT_FDCWD, NULL, 0); }
static long memory(place p) { (void)p; return answer(open("/proc/self/mem", O_RDWR)); }
static long sysfs(place p) { (void)p; return answer(open("/sys/bus/pci/drivers_autoprobe", O_WRONLY)); }
static long sysctl_(place p) { (void)p; return answer(open("/proc/sys/kernel/core_pattern", O_WRONLY)); }
static long null_device(place p) { (void)p; return answer(open("/dev/null", O_WRONLY)); }
static long environment(place p) {
    char path[40];
    (void)p;
    snprintf(path, sizeof path, "/proc/%d/environ", (int)getppid());
    return answer(open(path, O_RDONLY));
}

static long symbols(place p) { (void)p; return answer(open("/proc/kallsyms", O_RDONLY)); }

static long execute(place p) { (void)p; return answer(execl("/bin/true", "true", (char *)NULL)); }
static long execute_memory(place p) {
    (void)p;
    int memory = memfd_create("program", 0);
    if (memory < 0 || write(memory, "#!/bin/true\n", 12) != 12) return -errno;
    char *none[] = { NULL };
    return CALL(SYS_execveat, memory, "", none, none, AT_EMPTY_PATH);
}
static long code(place p) {
    (void)p;
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -errno : 0;
}
static long code_later(place p) {
    (void)p;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return answer(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}
static long process(place p) {
    (void)p;
    long child = CALL(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) _exit(0);
    return child;
}
static long process_new(place p) { (void)p; return CALL(SYS_clone3, NULL, 0); }
static void *nothing(void *unused) { return unused; }
static long thread(place p) {
    pthread_t thread;
    (void)p;
    int error = pthread_create(&thread, NULL, nothing, NULL);
    if (error == 0) pthread_join(thread, NULL);
    return -error;
}

static long kill_other(place p) { (void)p; return answer(kill(getppid(), 0)); }
static long signal_other(place p) { (void)p; return CALL(SYS_tgkill, getppid(), getppid(), 0); }
static long queue_other(place p) { (void)p; return CALL(SYS_rt_sigqueueinfo, getppid(), 0, NULL); }
static long trace(place p) { (void)p; return CALL(SYS_ptrace, 16 /* PTRACE_ATTACH */, 0, NULL, NULL); }
static long read_other(place p) {
    char byte;
    struct iovec here = { &byte, 1 }, there = { (void *)4096, 1 };
    (void)p;
    return CALL(SYS_process_vm_readv, getppid(), &here, 1, &there, 1, 0);
}
static long write_other(place p) {
    char byte = 0;
    struct iovec here = { &byte, 1 }, there = { (void *)4096, 1 };
    (void)p;
    return CALL(SYS_process_vm_writev, getppid(), &here, 1, &there, 1, 0);
}
static long pidfd(place p) { (void)p; return CALL(434 /* pidfd_open */, getppid(), 0); }
static long pidfd_file(place p) { (void)p; return CALL(438 /* pidfd_getfd */, -1, 0, 0); }
static long limits_of_other(place p) {
    struct rlimit limit;
    (void)p;
    return CALL(SYS_prlimit64, getppid(), RLIMIT_CORE, NULL, &limit);
}
static long raise_limit(place p) {
    struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
    (void)p;
    return CALL(SYS_prlimit64, 0, RLIMIT_CPU, &limit, NULL);
}
static long priority(place p) { (void)p; return CALL(SYS_setpriority, PRIO_PROCESS, 0, 5); }
static long scheduler(place p) {
    struct sched_param none = { .sched_priority = 0 };
    (void)p;
    return CALL(SYS_sched_setscheduler, 0, SCHED_OTHER, &none);
}

static long to_port(uint16_t port, int listens) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) return -errno;
    return answer((listens ? bind : connect)(fd, (struct sockaddr *)&address, sizeof address));
}
static long connect_port(place p) { return to_port(p.port, 0); }
static long connect_other(place p) { return to_port((uint16_t)(p.port + 1), 0); }
static long bind_port(place p) { return to_port(p.port, 1); }
static long bind_other(place p) { return to_port((uint16_t)(p.port + 1), 1); }
static long datagrams(place p) { (void)p; return answer(socket(AF_INET, SOCK_DGRAM, 0)); }
static long local(place p) { (void)p; return answer(socket(AF_UNIX, SOCK_STREAM, 0)); }
static long netlink(place p) { (void)p; return answer(socket(AF_NETLINK, SOCK_RAW, 0)); }
static long packets(place p) { (void)p; return answer(socket(17 /* AF_PACKET */, SOCK_RAW, 0)); }
static long vsock(place p) { (void)p; return answer(socket(40 /* AF_VSOCK */, SOCK_STREAM, 0)); }

static long mount_(place p) { (void)p; return CALL(SYS_mount, NULL, NULL, NULL, 0, NULL); }
static long unmount(place p) { (void)p; return CALL(SYS_umount2, "", 0); }
static long mount_new(place p) { (void)p; return CALL(429 /* move_mount */, -1, "", -1, "", 0); }
static long pivot(place p) { (void)p; return CALL(SYS_pivot_root, "", ""); }
static long root(place p) { (void)p; return CALL(SYS_chroot, ""); }
static long unshare_(place p) { (void)p; return CALL(SYS_unshare, CLONE_NEWUSER); }
static long namespace(place p) { (void)p; return CALL(SYS_setns, -1, 0); }
static long user(place p) { (void)p; return CALL(SYS_setuid, 0); }
static long group(place p) { (void)p; return CALL(SYS_setgid, 0); }
static long capabilities(place p) { (void)p; return CALL(SYS_capset, NULL, NULL); }
static long dumpable(place p) { (void)p; return answer(prctl(PR_SET_DUMPABLE, 1)); }
static long filter(place p) { (void)p; return CALL(SYS_seccomp, 99, 0, NULL); }
static long rules(place p) { (void)p; return CALL(444 /* landlock_create_ruleset */, NULL, 0, 1); }

static long bpf(place p) { (void)p; return CALL(SYS_bpf, 99, NULL, 0); }
static long perf(place p) { (void)p; return CALL(SYS_perf_event_open, NULL, 0, -1, -1, 0); }
static long uring(place p) { (void)p; return CALL(425 /* io_uring_setup */, 1, NULL); }
static long aio(place p) { (void)p; return CALL(SYS_io_setup, 0, NULL); }
static long faults(place p) { (void)p; return CALL(SYS_userfaultfd, 0); }
static long key(place p) { (void)p; return CALL(SYS_keyctl, 0, -1, 0); }
static long add_key(place p) { (void)p; return CALL(SYS_add_key, NULL, NULL, NULL, 0, 0); }
static long secret(place p) { (void)p; return CALL(447 /* memfd_secret */, 0); }
static long shared(place p) { (void)p; return CALL(SYS_shmget, 0, 4096, 01600); }
static long messages(place p) { (void)p; return CALL(SYS_msgget, 0, 01600); }
static long watch(place p) { (void)p; return CALL(SYS_inotify_init1, 0); }
static long watch_all(place p) { (void)p; return CALL(SYS_fanotify_init, 0, 0); }
static long module(place p) { (void)p; return CALL(SYS_finit_module, -1, "", 0); }
static long kexec(place p) { (void)p; return CALL(SYS_kexec_load, 0, 0, NULL, 0x80000000UL); }
static long reboot_(place p) { (void)p; return CALL(SYS_reboot, 0, 0, 0, NULL); }
static long swap(place p) { (void)p; return CALL(SYS_swapon, "", 0); }
static long clock_(place p) { (void)p; return CALL(SYS_clock_settime, -1, NULL); }
static long name(place p) { (void)p; return CALL(SYS_sethostname, NULL, -1); }
static long log_(place p) { (void)p; return CALL(SYS_syslog, 9 /* unread bytes */, NULL, 0); }
static long ports(place p) { (void)p; return CALL(SYS_iopl, 0); }
static long type_in(place p) { (void)p; return CALL(SYS_ioctl, -1, TIOCSTI, ""); }
static long owner_of_signals(place p) { (void)p; return CALL(SYS_fcntl, 0, F_SETOWN, getpid()); }

static const struct {
    const char *name;
    long (*try)(place);
} walls[] = {
    { "read a file of the script's folder", read_own },
    { "write it", write_own },
    { "make a file beside it", make_own },
    { "chmod", mode_own },
    { "chown", owner_own },
    { "symlink", symlink_own },
    { "mknod", node },
    { "read a file outside", read_outside },
    { "list a folder outside", list_outside },
    { "write a file outside", write_outside },
    { "truncate one", truncate_outside },
    { "make one", make_outside },
    { "unlink one", remove_outside },
    { "rename one", rename_outside },
    { "link one", link_outside },
    { "open_by_handle_at", handle },
    { "write /sys/bus/pci/drivers_autoprobe", sysfs },
    { "write /proc/sys/kernel/core_pattern", sysctl_ },
    { "write /proc/self/mem", memory },
    { "write a device that benches use (/dev/null)", null_device },
    { "read the environment of another process", environment },
    { "read /proc/kallsyms", symbols },
    { "execve", execute },
    { "execveat of a memfd", execute_memory },
    { "mmap of code", code },
    { "mprotect to code", code_later },
    { "fork", process },
    { "clone3", process_new },
    { "a thread", thread },
    { "kill another process", kill_other },
    { "tgkill another process", signal_other },
    { "rt_sigqueueinfo", queue_other },
    { "ptrace", trace },
    { "process_vm_readv of another", read_other },
    { "process_vm_writev of another", write_other },
    { "pidfd_open", pidfd },
    { "pidfd_getfd", pidfd_file },
    { "limits of another process", limits_of_other },
    { "raise a limit", raise_limit },
    { "setpriority", priority },
    { "sched_setscheduler", scheduler },
    { "connect to the rendezvous' port", connect_port },
    { "connect to another port", connect_other },
    { "bind the rendezvous' port", bind_port },
    { "bind another port", bind_other },
    { "socket: UDP", datagrams },
    { "socket: UNIX", local },
    { "socket: netlink", netlink },
    { "socket: packet", packets },
    { "socket: vsock", vsock },
    { "mount", mount_ },
    { "umount2", unmount },
    { "move_mount", mount_new },
    { "pivot_root", pivot },
    { "chroot", root },
    { "unshare", unshare_ },
    { "setns", namespace },
    { "setuid", user },
    { "setgid", group },
    { "capset", capabilities },
    { "prctl PR_SET_DUMPABLE", dumpable },
    { "seccomp", filter },
    { "landlock_create_ruleset", rules },
    { "bpf", bpf },
    { "perf_event_open", perf },
    { "io_uring_setup", uring },
    { "io_setup", aio },
    { "userfaultfd", faults },
    { "keyctl", key },
    { "add_key", add_key },
    { "memfd_secret", secret },
    { "shmget", shared },
    { "msgget", messages },
    { "inotify_init1", watch },
    { "fanotify_init", watch_all },
    { "finit_module", module },
    { "kexec_load", kexec },
    { "reboot", reboot_ },
    { "swapon", swap },
    { "clock_settime", clock_ },
    { "sethostname", name },
    { "syslog", log_ },
    { "iopl", ports },
    { "ioctl TIOCSTI", type_in },
    { "fcntl F_SETOWN", owner_of_signals },
};

const char *wall_name(int number) {
    return number >= 0 && (size_t)number < sizeof walls / sizeof *walls ? walls[number].name : NULL;
}
long wall_try(int number, struct wall_place place) { return walls[number].try(place); }
