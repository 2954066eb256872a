/* System calls as LiveKernel makes them: a result of 0 or more, or a negated errno. Swift cannot read errno safely
 * (reference counting may run in between) and cannot call variadic ioctl and open, so every call is one C expression. */
#pragma once
#include <stddef.h>
#include <stdint.h>

long sys_open(const char *_Nonnull path, int flags);
long sys_close(int fd);
long sys_ioctl_pointer(int fd, unsigned long request, void *_Nullable argument);
long sys_ioctl_value(int fd, unsigned long request, unsigned long argument);
long sys_read(int fd, void *_Nullable buffer, size_t count);
long sys_write(int fd, const void *_Nullable buffer, size_t count);
long sys_pread(int fd, void *_Nullable buffer, size_t count, uint64_t offset);
long sys_pwrite(int fd, const void *_Nullable buffer, size_t count, uint64_t offset);
long sys_lseek(int fd, int64_t offset, int whence);
long sys_mmap(void *_Nullable *_Nonnull result, size_t length, int protection, int flags, int fd, uint64_t offset);
/* mmap with MAP_SHARED | MAP_FIXED. */
long sys_remap(void *_Nonnull address, size_t length, int protection, int fd, uint64_t offset);
/* Another mapping of the shared memory at `source`, at `fixed` if that is not null, else anywhere. */
long sys_map_again(
    void *_Nullable *_Nonnull result, void *_Nullable fixed, void *_Nonnull source, size_t length, int protection);
/* Moves a mapping, or a part of one, to another address; nothing is mapped where it was. */
long sys_move(void *_Nullable *_Nonnull result, uint64_t address, size_t length);
long sys_munmap(void *_Nonnull address, size_t length);
/* 0 where something is mapped at every page of the range, or -ENOMEM. */
long sys_mapped(uint64_t address, uint64_t length);
/* Close-on-exec; Swift's Glibc module does not show memfd_create. */
long sys_memfd_create(const char *_Nonnull name);
/* memfd_create(2) with the given flags and MFD_CLOEXEC. */
long sys_memfd(unsigned flags);
/* A memfd of fixed length (F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL). */
long sys_memfd_of_length(uint64_t length);
long sys_ftruncate(int fd, int64_t length);
long sys_fcntl(int fd, int command, long argument);
/* Does not wait. */
long sys_poll(int fd, short events);
long sys_eventfd(unsigned count);
/* fsync, mkdir, rename and unlink, with which a file is replaced atomically and durably. */
long sys_fsync(int fd);
long sys_mkdir(const char *_Nonnull path);
long sys_rename(const char *_Nonnull from, const char *_Nonnull to);
long sys_unlink(const char *_Nonnull path);
long sys_readlink(const char *_Nonnull path, char *_Nonnull buffer, size_t size);
/* Sleeps for `nanoseconds`; a signal ends it early (-EINTR). */
long sys_sleep(uint64_t nanoseconds);
uint64_t sys_monotonic(void);
/* The most bytes of memory that this process had so far. */
uint64_t sys_peak_memory(void);
/* The CPU this thread runs on, and its node. */
long sys_getcpu(unsigned *_Nonnull cpu, unsigned *_Nonnull node);
/* Keeps this thread, and those it starts, on these CPUs. */
long sys_pin(const int *_Nonnull cpus, size_t count);

/* Memory of `count` bytes that ends at an unreadable page, so a kernel that reads past what it was given says EFAULT. */
void *_Nullable sys_guarded_alloc(size_t count);
void sys_guarded_free(void *_Nonnull address, size_t count);

/* Copies from this process's memory at any address; -EFAULT where it is not readable or writable. */
long sys_copy_from_address(void *_Nonnull to, uint64_t address, size_t count);
/* -E2BIG where a byte is not zero, -EFAULT where one cannot be read before that. */
long sys_check_zero(uint64_t address, uint64_t count);
long sys_copy_to_address(uint64_t address, const void *_Nonnull from, size_t count);

/* A byte that a device may change at any time. */
static inline uint8_t sys_load8(const volatile uint8_t *_Nonnull address) { return *address; }

/* memcpy that survives SIGBUS and SIGSEGV: -EIO where the device behind a mapping does not answer, -EFAULT where the mapping
 * does not permit it. */
long sys_copy_or_fault(void *_Nonnull to, const void *_Nonnull from, size_t count);
/* Installs the SIGBUS and SIGSEGV handlers that sys_copy_or_fault needs, which it does itself at its first copy. To be called
 * again after other code replaced them. */
void sys_catch_faults(void);
