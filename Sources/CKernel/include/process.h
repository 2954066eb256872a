/* Processes that run a part of this program: fork without exec, for a program that has one thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* 0 in the child, its number in the parent, or a negated errno. */
long process_fork(void);

/* A pipe whose ends are closed on exec: to be read, to be written. */
long process_pipe(int *_Nonnull ends);

/* Makes the child ready: a process group of its own, killed with its parent; standard input from /dev/null, output and
 * errors to `output` and `errors`, descriptor 3 is `result`, no other one is open; no signal is caught or blocked;
 * `memory` bytes of private memory at most, where that is not 0. ps(1) calls it `name` (15 bytes). 0 or a negated errno. */
long process_enter(const char *_Nonnull name, pid_t parent, int output, int errors, int result, uint64_t memory);

/* What a child exits with that aborts as it gets no more memory: malloc(3) has just failed. */
enum { PROCESS_OUT_OF_MEMORY = 124 };
/* Has this process exit so from now on; process_enter does the same in a child. */
void process_tell_lack_of_memory(void);

/* How a child ended. */
struct process_end {
    int status; /* as wait(2) gives it */
    uint64_t cpu_ns;
    uint64_t max_rss; /* bytes */
};
/* A descriptor that becomes readable when the child has ended (pidfd_open(2), Linux 5.3), or a negated errno. */
long process_open(pid_t pid);
/* Takes a child that has ended: 1, 0 where it has not, or a negated errno. */
long process_reap(pid_t pid, struct process_end *_Nonnull end);

/* Bytes that are in memory of a process; 0 where that is not known. */
uint64_t process_resident(pid_t pid);

/* SIGINT, SIGTERM, SIGHUP and SIGQUIT are counted from now on; SIGPIPE is ignored. */
void process_count_signals(void);
int process_signals(void);
/* Whether the first of them was another one than SIGINT. */
int process_was_terminated(void);
/* Whether any of them was another than SIGINT, which in a session is for one line. */
int process_was_told_to_end(void);
/* As if SIGINT had come, for tests. */
void process_pretend_signal(void);

/* In the parent of a child that executes a program: the child's number, or a negated errno where fork or the child failed,
 * which it tells through a pipe that is closed on exec. `ends` are the pipe's, closed here. */
long process_started(pid_t child, const int *_Nonnull ends);
/* In the child: tells errno and ends. */
void process_failed(int failure) __attribute__((noreturn));

/* Forks. The child gets 0 and is killed when this process ends. The parent gets the child's pid or a negated errno; it passes
 * SIGINT, SIGTERM, SIGHUP and SIGQUIT on, and kills the child at the third. To be called while this program has one thread. */
long process_succeed(void);
/* Whether such a signal came, or the child has ended. */
int process_was_asked_to_end(void);
/* Waits for the child's end: its exit code, 128 and the signal that killed it, or 130 where that was asked for. */
int process_end_of_successor(void);
