#define _GNU_SOURCE
#include "include/system.h"
#include <sched.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* A program started without standard streams would get their numbers for a device or for libdispatch's own files, and
 * print its report into them. */
__attribute__((constructor)) static void keep_standard_streams(void) {
    int fd;
    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO) close(fd);
}

static long result_of(long value) { return value < 0 ? -(long)errno : value; }

long sys_open(const char *path, int flags) { return result_of(open(path, flags, 0600)); }
long sys_close(int fd) { return result_of(close(fd)); }
long sys_ioctl_pointer(int fd, unsigned long request, void *argument) { return result_of(ioctl(fd, request, argument)); }
long sys_ioctl_value(int fd, unsigned long request, unsigned long argument) {
    return result_of(ioctl(fd, request, argument));
}
long sys_read(int fd, void *buffer, size_t count) { return result_of(read(fd, buffer, count)); }
long sys_write(int fd, const void *buffer, size_t count) { return result_of(write(fd, buffer, count)); }
long sys_pread(int fd, void *buffer, size_t count, uint64_t offset) {
    return result_of(pread(fd, buffer, count, (off_t)offset));
}
long sys_pwrite(int fd, const void *buffer, size_t count, uint64_t offset) {
    return result_of(pwrite(fd, buffer, count, (off_t)offset));
}
long sys_lseek(int fd, int64_t offset, int whence) { return result_of(lseek(fd, offset, whence)); }

long sys_mmap(void **result, size_t length, int protection, int flags, int fd, uint64_t offset) {
    void *address = mmap(NULL, length, protection, flags, fd, (off_t)offset);
    if (address == MAP_FAILED) return -(long)errno;
    *result = address;
    return 0;
}
long sys_remap(void *address, size_t length, int protection, int fd, uint64_t offset) {
    return mmap(address, length, protection, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) == MAP_FAILED ? -(long)errno : 0;
}
/* mremap(2) with an old size of 0 makes a second mapping of a shared mapping's pages. */
long sys_map_again(void **result, void *fixed, void *source, size_t length, int protection) {
    void *address = mremap(source, 0, length, MREMAP_MAYMOVE | (fixed ? MREMAP_FIXED : 0), fixed);
    if (address == MAP_FAILED) return -(long)errno;
    if (protection != (PROT_READ | PROT_WRITE) && mprotect(address, length, protection) != 0) {
        long error = -(long)errno;
        if (!fixed) munmap(address, length);
        return error;
    }
    *result = address;
    return 0;
}
long sys_move(void **result, uint64_t address, size_t length) {
    /* A place of its own, or mremap would leave the memory where it is. */
    void *place = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) return -(long)errno;
    if (mremap((void *)(uintptr_t)address, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, place) == MAP_FAILED) {
        long error = -(long)errno;
        munmap(place, length);
        return error;
    }
    *result = place;
    return 0;
}
long sys_munmap(void *address, size_t length) { return result_of(munmap(address, length)); }
long sys_mapped(uint64_t address, uint64_t length) {
    uint64_t first = address & ~UINT64_C(4095);
    if (length == 0) return 0;
    if (address + length < address) return -ENOMEM;
    /* MS_ASYNC writes nothing; it only looks. */
    return result_of(msync((void *)(uintptr_t)first, address + length - first, MS_ASYNC));
}

long sys_memfd_create(const char *name) { return result_of(memfd_create(name, MFD_CLOEXEC)); }
long sys_memfd(unsigned flags) { return result_of(memfd_create("peerlab", flags | MFD_CLOEXEC)); }
long sys_memfd_of_length(uint64_t length) {
    int fd = memfd_create("peerlab", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -(long)errno;
    if (ftruncate(fd, (off_t)length) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) return fd;
    long error = -(long)errno;
    close(fd);
    return error;
}
long sys_ftruncate(int fd, int64_t length) { return result_of(ftruncate(fd, length)); }
long sys_fcntl(int fd, int command, long argument) { return result_of(fcntl(fd, command, argument)); }
long sys_poll(int fd, short events) {
    struct pollfd one = { .fd = fd, .events = events };
    long result = result_of(poll(&one, 1, 0));
    return result < 0 ? result : one.revents;
}
long sys_eventfd(unsigned count) { return result_of(eventfd(count, EFD_CLOEXEC)); }
long sys_fsync(int fd) { return result_of(fsync(fd)); }
long sys_mkdir(const char *path) { return result_of(mkdir(path, 0700)); }
long sys_rename(const char *from, const char *to) { return result_of(rename(from, to)); }
long sys_unlink(const char *path) { return result_of(unlink(path)); }
long sys_readlink(const char *path, char *buffer, size_t size) { return result_of(readlink(path, buffer, size)); }

long sys_sleep(uint64_t nanoseconds) {
    struct timespec time = { .tv_sec = (time_t)(nanoseconds / 1000000000u), .tv_nsec = (long)(nanoseconds % 1000000000u) };
    return result_of(nanosleep(&time, NULL));
}

long sys_getcpu(unsigned *cpu, unsigned *node) { return getcpu(cpu, node) == 0 ? 0 : -(long)errno; }

long sys_pin(const int *cpus, size_t count) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (size_t i = 0; i < count; i++) {
        if (cpus[i] < 0 || cpus[i] >= CPU_SETSIZE) return -EINVAL;
        CPU_SET(cpus[i], &set);
    }
    return sched_setaffinity(0, sizeof set, &set) == 0 ? 0 : -(long)errno;
}

uint64_t sys_monotonic(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static size_t guarded_span(size_t count, size_t page) { return (count + page - 1) / page * page; }

void *sys_guarded_alloc(size_t count) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), span = guarded_span(count, page);
    char *base = mmap(NULL, span + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return NULL;
    if (mprotect(base + span, page, PROT_NONE) != 0) {
        munmap(base, span + page);
        return NULL;
    }
    return base + span - count;
}

void sys_guarded_free(void *address, size_t count) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), span = guarded_span(count, page);
    munmap((char *)address + count - span, span + page);
}

/* process_vm_readv(2) on our own pid reports an unreadable address as EFAULT, without a signal handler. */
long sys_copy_from_address(void *to, uint64_t address, size_t count) {
    struct iovec local = { .iov_base = to, .iov_len = count };
    struct iovec remote = { .iov_base = (void *)(uintptr_t)address, .iov_len = count };
    if (count == 0) return 0;
    ssize_t done = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    return done == (ssize_t)count ? 0 : -EFAULT;
}

long sys_check_zero(uint64_t address, uint64_t count) {
    static __thread char chunk[65536];
    while (count > 0) {
        size_t size = count < sizeof chunk ? (size_t)count : sizeof chunk;
        struct iovec local = { .iov_base = chunk, .iov_len = size };
        struct iovec remote = { .iov_base = (void *)(uintptr_t)address, .iov_len = size };
        ssize_t done = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
        for (ssize_t i = 0; i < done; i++)
            if (chunk[i]) return -E2BIG;
        if (done <= 0) return -EFAULT; /* a short read ends at the page that cannot be read */
        address += (uint64_t)done;
        count -= (uint64_t)done;
    }
    return 0;
}

long sys_copy_to_address(uint64_t address, const void *from, size_t count) {
    struct iovec local = { .iov_base = (void *)(uintptr_t)from, .iov_len = count };
    struct iovec remote = { .iov_base = (void *)(uintptr_t)address, .iov_len = count };
    if (count == 0) return 0;
    ssize_t done = process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
    return done == (ssize_t)count ? 0 : -EFAULT;
}

/* One jump target per thread; the handler jumps only while a copy is under way in that thread, and only over C. */
static __thread sigjmp_buf fault_target;
static __thread volatile sig_atomic_t copying;
static struct sigaction previous_bus, previous_segv;

static void on_fault(int number, siginfo_t *info, void *context) {
    struct sigaction *previous = number == SIGBUS ? &previous_bus : &previous_segv;
    if (copying) {
        copying = 0;
        siglongjmp(fault_target, number);
    }
    if (previous->sa_flags & SA_SIGINFO) {
        previous->sa_sigaction(number, info, context);
        return;
    }
    signal(number, SIG_DFL);
    /* The instruction faults again, and the process ends as it would have; a signal that was sent is sent again. */
    if (info->si_code <= 0) raise(number);
}

static void catch_fault(int number, struct sigaction *previous) {
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK }, before;
    sigaction(number, &action, &before);
    if (before.sa_sigaction != on_fault) *previous = before;
}

void sys_catch_faults(void) {
    catch_fault(SIGBUS, &previous_bus);
    catch_fault(SIGSEGV, &previous_segv);
}

long sys_copy_or_fault(void *to, const void *from, size_t count) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, sys_catch_faults);
    int fault = sigsetjmp(fault_target, 0);
    if (fault != 0) return fault == SIGBUS ? -EIO : -EFAULT;
    copying = 1;
    /* Keeps the compiler from moving memcpy across the stores to `copying`. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    memcpy(to, from, count);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    copying = 0;
    return 0;
}

uint64_t sys_peak_memory(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}
