/* Starts a program that untrusted input may compromise, such as QEMU: with the given descriptors, user, limits and files
 * only. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct emulator {
    const char *_Nonnull program; /* an absolute path */
    char *_Nullable const *_Nullable arguments;
    char *_Nullable const *_Nullable environment;
    const int *_Nullable descriptors; /* become 2, 3, and so on; nothing else is open but /dev/null as 0 and 1 */
    size_t count;                    /* of them, at most 13 */
    int rules;                       /* of landlock (sandbox.h); -1 for none */
    uid_t user;                      /* of it and its group; 0 to stay who it is */
    uint64_t address_space;          /* bytes */
    uint64_t cpu_time;               /* seconds */
    uint64_t file_size;              /* bytes of one file, memory files included */
    int asks_for_sockets;            /* nonzero: its UNIX sockets are connections of this process's (emulator_give) */
    int requests;                    /* out: where it asks for them, readable when it does; -1 without them */
};

/* Starts it in a session of its own; it dies with the thread that calls this. Its number or a negated errno, also where
 * it cannot be executed. */
long emulator_start(struct emulator *_Nonnull emulator);

/* Answers one request for a socket with this end of a connection, which it then takes for connected; -1 to refuse it. 0 or a
 * negated errno; -ENOENT where it has ended meanwhile. */
long emulator_give(int requests, int connection);

/* 1 where a file has that text in it, 0 where it has not or cannot be read. */
int emulator_mentions(const char *_Nonnull path, const char *_Nonnull text);

/* Two ends of a connection, closed on exec. */
long emulator_connection(int *_Nonnull ends);
