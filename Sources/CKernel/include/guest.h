/* Calls that init (pid 1) of the lab's guest makes: 0 or more, or a negated errno. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Mounts `type` on a folder, which is made where it is not there. `options` may be NULL. */
long guest_mount(const char *_Nonnull type, const char *_Nonnull folder, const char *_Nullable options);
/* Loads a kernel module from an open file; `parameters` with blanks between them (finit_module(2)). */
long guest_load_module(int fd, const char *_Nonnull parameters);
/* Brings a network interface up; with an address where `address` (network byte order) is not 0. */
long guest_interface_up(const char *_Nonnull name, uint32_t address, uint32_t mask);
/* Adds a software RDMA device of a kind, "rxe" or "siw", on a network interface (RDMA_NLDEV_CMD_NEWLINK). */
long guest_add_rdma_link(const char *_Nonnull name, const char *_Nonnull kind, const char *_Nonnull interface);
/* Turns the machine off at once. */
void guest_power_off(void);

/* Starts a program in a session of its own, with two descriptors as its output and errors and nothing else open but
 * /dev/null as its input: its number, or a negated errno, also where it cannot be executed. */
long guest_start(char *_Nullable const *_Nonnull arguments, char *_Nullable const *_Nonnull environment, int output,
                 int errors);
/* Takes one child that has ended and puts its status there: its number, 0 where none has, or a negated errno. */
long guest_reap(int *_Nonnull status);

/* The libraries that this process has loaded, by the paths that the dynamic linker found them at, each ended by NUL: how
 * many bytes there are, of which at most `size` are written. */
size_t guest_libraries(char *_Nonnull buffer, size_t size);
