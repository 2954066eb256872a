#define _GNU_SOURCE
#include "include/process.h"
#include "include/system.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

long process_fork(void) {
    pid_t pid = fork();
    return pid < 0 ? -errno : pid;
}

long process_pipe(int *ends) { return pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0; }

/* Swift's runtime and ours abort where malloc(3) gives nothing; nothing fails between the two, so errno is still malloc's. */
static void on_abort(int number) {
    if (errno == ENOMEM) _exit(PROCESS_OUT_OF_MEMORY);
    signal(number, SIG_DFL);
    raise(number);
}

void process_tell_lack_of_memory(void) {
    static const int aborting[] = { SIGABRT, SIGILL, SIGTRAP };
    for (size_t i = 0; i < sizeof aborting / sizeof *aborting; i++) signal(aborting[i], on_abort);
}

/* Duplicated above 3 first: a source number may be another's target. */
static int above(int fd) { return fcntl(fd, F_DUPFD, 4); }

long process_enter(const char *name, pid_t parent, int output, int errors, int result, uint64_t memory) {
    /* Those of crashes too: a backtrace takes seconds, and may change how the process ends. */
    static const int caught[] = {
        SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGQUIT
    };
    sigset_t none;
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++) signal(caught[i], SIG_DFL);
    sys_catch_faults();
    process_tell_lack_of_memory();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_NAME, name);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(137); /* it died before that */
    int input = open("/dev/null", O_RDONLY);
    int from[] = { above(input), above(output), above(errors), above(result) };
    for (int i = 0; i < 4; i++)
        if (from[i] < 0 || dup2(from[i], i) < 0) return -errno;
    fcntl(3, F_SETFD, FD_CLOEXEC);
    if (close_range(4, ~0U, 0) < 0) return -errno;
    if (memory) {
        struct rlimit limit = { memory, memory };
        if (setrlimit(RLIMIT_DATA, &limit) < 0) return -errno;
    }
    struct rlimit none_kept = { 0, 0 };
    setrlimit(RLIMIT_CORE, &none_kept);
    return 0;
}

static uint64_t nanoseconds(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

long process_open(pid_t pid) {
    long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : fd;
}

long process_reap(pid_t pid, struct process_end *end) {
    struct rusage usage;
    pid_t found = wait4(pid, &end->status, WNOHANG, &usage);
    if (found <= 0) return found < 0 ? -errno : 0;
    end->cpu_ns = nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime);
    end->max_rss = (uint64_t)usage.ru_maxrss * 1024;
    return 1;
}

uint64_t process_resident(pid_t pid) {
    char path[40], text[64];
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t count = read(fd, text, sizeof text - 1);
    close(fd);
    if (count <= 0) return 0;
    text[count] = 0;
    unsigned long long size, resident;
    return sscanf(text, "%llu %llu", &size, &resident) == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
static volatile sig_atomic_t signals, terminated, told_to_end;

static void count(int number) {
    if (signals == 0 && number != SIGINT) terminated = 1;
    if (number != SIGINT) told_to_end = 1;
    signals++;
}

void process_count_signals(void) {
    struct sigaction action = { .sa_handler = count };
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) sigaction(ending[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}
int process_signals(void) { return signals; }
int process_was_terminated(void) { return terminated; }
int process_was_told_to_end(void) { return told_to_end; }
void process_pretend_signal(void) { count(SIGINT); }

long process_started(pid_t child, const int *ends) {
    int error = child < 0 ? errno : 0;
    close(ends[1]);
    if (child > 0) {
        int told;
        if (read(ends[0], &told, sizeof told) == sizeof told) {
            error = told;
            waitpid(child, NULL, 0);
        }
    }
    close(ends[0]);
    return error ? -error : child;
}

void process_failed(int failure) {
    int error = errno;
    ssize_t written = write(failure, &error, sizeof error);
    _exit(written == sizeof error ? 127 : 126);
}

/* --- A child that goes on in this process's place ----------------------------------------------------------------- */

static volatile pid_t successor;
static volatile sig_atomic_t asked, successor_ended;
enum { PATIENCE = 3 };

/* Queued, so that the child can tell it from what the terminal sent to both. */
static void pass_on(int number) {
    int before = errno;
    if (number == SIGCHLD) {
        successor_ended = 1;
    } else if (++asked >= PATIENCE) {
        if (successor > 0) kill(successor, SIGKILL);
    } else if (successor > 0) {
        sigqueue(successor, number, (union sigval){ .sival_int = 0 });
    }
    errno = before;
}

long process_succeed(void) {
    sigset_t all, before;
    pid_t parent = getpid();
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(137); /* it died before that */
    } else if (child > 0) {
        /* Without SA_RESTART: whoever waits for a lock looks again. */
        struct sigaction action = { .sa_handler = pass_on, .sa_flags = SA_NOCLDSTOP };
        successor = child;
        sigaction(SIGCHLD, &action, NULL);
        for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) sigaction(ending[i], &action, NULL);
        signal(SIGPIPE, SIG_IGN);
    }
    int error = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return child < 0 ? -error : child;
}

int process_was_asked_to_end(void) { return asked || successor_ended; }

int process_end_of_successor(void) {
    siginfo_t info;
    int status;
    /* Its number is its own until it is waited for. */
    while (waitid(P_PID, (id_t)successor, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {}
    pid_t child = successor;
    successor = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return 70;
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    return asked ? 130 : 128 + WTERMSIG(status);
}
