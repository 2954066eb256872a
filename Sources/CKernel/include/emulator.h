/* A program that strangers' code may take over, such as an emulator of a machine: started with what it was given and
 * little else. */
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
};

/* Starts it in a session of its own; it dies with the thread that calls this. Its number or a negated errno, also where
 * it cannot be executed. */
long emulator_start(const struct emulator *_Nonnull emulator);

/* Two ends of a connection, closed on exec. */
long emulator_connection(int *_Nonnull ends);
