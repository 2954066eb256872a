/* Signals that end a program, and the end of a script's time. The script is stopped, and can close what it has open. */
#define _GNU_SOURCE
#include "internal.h"
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { PATIENCE = 3 };

static lk_state *volatile signal_target;
static pthread_t signal_thread;
static volatile sig_atomic_t signals_seen, asked_to_end, terminated, installed, time_is_over;
/* Handled signals. SIGPIPE: the reader of the output is gone. SIGALRM: the script's time is over. */
static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGALRM };
enum { ENDING = sizeof ending / sizeof *ending };
static struct sigaction previous[ENDING];
static sigset_t previous_mask;

/* A signal to the process may arrive in any thread. It is passed on to the state's thread, so that a waiting system
 * call there returns EINTR, and so that only that thread uses the state. */
static void on_signal(int number, siginfo_t *info, void *context) {
    static const char message[] = "peerlab: stopped at once; the kernel closes what was open\n";
    (void)context;
    /* Only signals that a person sends count towards PATIENCE: each line written to a pipe without a reader brings a
     * SIGPIPE, and a parent passes on (SI_QUEUE) signals that the terminal may also have sent to us. */
    if (number != SIGALRM && info->si_code != SI_TKILL) asked_to_end = 1;
    if (number == SIGTERM || number == SIGHUP || number == SIGQUIT) terminated = 1;
    bool counts = number != SIGPIPE && number != SIGALRM && info->si_code != SI_TKILL && info->si_code != SI_QUEUE;
    if (counts && ++signals_seen >= PATIENCE) {
        /* The script does not return: a finalizer that loops, a pattern that backtracks, a call into a driver. */
        if (write(STDERR_FILENO, message, sizeof message - 1) < 0) _exit(130);
        _exit(130);
    }
    if (!pthread_equal(pthread_self(), signal_thread)) {
        pthread_kill(signal_thread, number);
        return;
    }
    if (number == SIGALRM) time_is_over = 1;
    if (!signal_target) return;
    if (number == SIGALRM) lk_position_signal(signal_target);
    lk_interrupt(signal_target->main, time_is_over ? LK_TIMEOUT : LK_INTERRUPTED);
}

void lk_stuck_position(char *text) {
    text[0] = 0;
    if (installed) lk_ask_position(signal_thread, text);
}

bool lk_was_asked_to_end(void) { return asked_to_end; }
bool lk_was_terminated(void) { return terminated; }

void lk_end_time(void) {
    time_is_over = 1;
    if (installed) pthread_kill(signal_thread, SIGINT);
}

/* Signals no longer reach the state. */
void lk_forget_signals(lk_state *state) {
    if (signal_target == state) signal_target = NULL;
}

/* Without SA_RESTART: a call that waits in the kernel returns with EINTR. */
void lk_interrupt_on_signals(lua_State *L) {
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
    sigset_t ours;
    sigemptyset(&ours);
    for (int i = 0; i < ENDING; i++) sigaddset(&ours, ending[i]);
    signal_target = L ? state_of(L) : NULL;
    if (L && !installed) {
        signal_thread = pthread_self();
        signals_seen = 0;
        asked_to_end = 0;
        time_is_over = 0;
        for (int i = 0; i < ENDING; i++) sigaction(ending[i], &action, &previous[i]);
        /* Threads of libdispatch block every signal, and this may be one. */
        pthread_sigmask(SIG_UNBLOCK, &ours, &previous_mask);
    } else if (!L && installed) {
        pthread_sigmask(SIG_SETMASK, &previous_mask, NULL);
        for (int i = 0; i < ENDING; i++) sigaction(ending[i], &previous[i], NULL);
    }
    installed = L != NULL;
}
