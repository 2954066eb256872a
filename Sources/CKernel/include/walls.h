/* Forbidden operations, for tests of the sandbox: each is tried, and the result shows whether seccomp, landlock or neither
 * refused it. */
#pragma once
#include <stdint.h>

/* Where attempts are made: a file that the process may read, and one that it may not, both with a folder of their own; a port
 * of 127.0.0.1 that it may use where it may use any. */
struct wall_place {
    const char *_Nonnull own;
    const char *_Nonnull outside;
    uint16_t port;
};

/* How an attempt is called; NULL behind the last. */
const char *_Nullable wall_name(int number);
/* Tries it: 0 or more where nothing stopped it, or a negated errno. Does not return where a program was executed. To be called
 * in a process that has nothing else to do. */
long wall_try(int number, struct wall_place place);
