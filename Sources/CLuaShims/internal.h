#pragma once
#include "include/CLuaShims.h"
#include <pthread.h>

enum { LK_NOTING = 7, LK_NO_ERA = -1 };

/* Behind the extra space of every thread of a state. */
typedef struct lk_state {
    void *context, *owner;
    lk_finder finder;
    lk_printer printer;
    lua_State *main;
    lua_State *volatile running; /* the coroutine that runs, for a signal handler */
    volatile int interrupted; /* enum lk_stop */
    int foreign; /* Swift frames are above the nearest protected call */
    /* Where the latest of them was called: the Lua thread, and what ran in it; NULL for the host. */
    lua_State *foreign_thread;
    const void *foreign_call;
    size_t used, limit; /* bytes of Lua's memory */
    size_t held;        /* bytes elsewhere that are the script's too */
    int period;         /* between two calls of lk_collect */
    size_t open_objects, open_of_period;
    size_t finalizers, finalizers_of_period; /* of the script's own objects, that are to run still */
    lua_Integer era, finalized_era; /* the era that is, and the one of the object whose finalizer runs */
    lk_permit permit;
    lk_raised raised;
    lk_finalizing finalizing; /* what a finalizer raises while the state is closed */
    bool closing;
    uint32_t permitted; /* effects */
    const void *error_metatable;
    char refused_at[LK_POSITION]; /* where memory was refused last: "FILE:LINE: " */
    bool refused_by_limit;        /* and whether we refused it, or malloc(3) did */
    /* The call of a function of C that may run for ever, and where it was called; see position.c. */
    const void *volatile noted_call;
    char noted[LK_POSITION];
    lua_CFunction originals[LK_NOTING]; /* Lua's own functions behind ours */
    lua_CFunction random, randomseed, setmetatable; /* Lua's own */
    bool drew, seeded_itself;
} lk_state;

static inline lk_state *state_of(lua_State *L) { return *(lk_state **)lua_getextraspace(L); }

/* Call before lua_pcall from Swift. Saves and clears the count of Swift frames; restore the value that it returns afterwards. */
static inline int lk_enter(lua_State *L) {
    int foreign = state_of(L)->foreign;
    state_of(L)->foreign = 0;
    return foreign;
}

/* Around a call into Swift; what the first returns is given to the second. */
typedef struct lk_crossing {
    lua_State *thread;
    const void *call;
} lk_crossing;
static inline lk_crossing lk_cross(lua_State *L) {
    lk_state *state = state_of(L);
    lk_crossing before = { state->foreign_thread, state->foreign_call };
    lua_Debug here;
    state->foreign++;
    state->foreign_thread = L;
    state->foreign_call = lua_getstack(L, 0, &here) ? here.i_ci : NULL;
    return before;
}
static inline void lk_return(lua_State *L, lk_crossing before) {
    lk_state *state = state_of(L);
    state->foreign--;
    state->foreign_thread = before.thread;
    state->foreign_call = before.call;
}

/* The header of every userdata of ours; the payload follows. */
typedef struct lk_object {
    const lk_class *class_;
    int open;
    int closed_line; /* while it is open, the period in which it came: see lk_collect */
    size_t held;     /* bytes outside Lua, until it is closed */
} lk_object;
_Static_assert(sizeof(lk_object) % 8 == 0, "payloads are aligned to 8");

/* Raises the error table at the top, after giving it a position and a traceback. Stack effect [-1, +0, e]. */
int lk_throw(lua_State *L);
/* Raises an error of `kind` about `operation`, `format` as for lua_pushfstring. [-0, +0, e] */
int lk_raise(lua_State *L, const char *kind, const char *operation, const char *format, ...);
/* Keeps the error table at the top, of closing something while an error is on its way already. [-1, +0, m] */
void lk_keep_closing(lua_State *L);
/* Pushes a message handler, and the list in which it puts errors in their order. [-0, +2, m] */
void lk_push_listing(lua_State *L);
/* Raises the first error of such a list, and keeps the others, as those of closing; the latest is at the top. [-1, +0, e] */
int lk_raise_first(lua_State *L, int list);
/* Keeps the error at the top, of a finalizer; it stays. [-0, +0, m] */
void lk_keep_finalizing(lua_State *L);
/* What the object at a stack index is called after its class. [-0, +1, m] */
void lk_push_label(lua_State *L, int index);
/* Appends "; did you mean 'x'?" to the string at the top where a name is near. [-1, +1, m] */
void lk_suggest(lua_State *L, const char *word, const char *best, int distance);
void lk_open_errors(lua_State *L);
void lk_open_libraries(lua_State *L);
/* Replaces setmetatable, so that of a finalizer that fails is known when its object was made. [-0, +0, m] */
void lk_open_finalizers(lua_State *L);
/* Replaces resume and wrap, so that an interrupt finds the coroutine that runs. The coroutine library is at the top. */
void lk_open_coroutines(lua_State *L);
/* "FILE:LINE: " of the script's line that runs, or nothing. Allocates nothing. */
void lk_note_position(lua_State *L, char *text, size_t size);
/* Seeds math.random, and replaces it. [-0, +0, e] */
void lk_open_random(lua_State *L, lua_Integer begin);
/* Has functions that may run for ever note where they are called. */
void lk_note_calls(lua_State *L);
/* In a handler of SIGALRM, in the thread that runs the state: tells the position where somebody wants it. Asks nothing of Lua
 * that could be half done. */
void lk_position_signal(const lk_state *state);
/* From another thread than the one that runs the state, which has the signals. */
void lk_ask_position(pthread_t thread, char *text);
/* Raises where the state was interrupted. */
void lk_check_interrupt(lua_State *L);
/* The allocator of a state, its owner. */
void *lk_allocate(void *owner, void *block, size_t old, size_t size);
/* What to say of a script whose memory is used up. [-0, +1, m] */
void lk_push_lack_of_memory(lua_State *L);
void lk_forget_signals(lk_state *state);
/* Collects, and raises where the limit is still exceeded: what Swift made is only counted. */
int lk_check_memory(lua_State *L);

static inline bool lk_has_room(const lk_state *state, size_t more) {
    return more <= state->limit && state->used + state->held <= state->limit - more;
}

/* An object is closed for good. */
static inline void lk_count_closed(lua_State *L, const lk_object *object) {
    lk_state *state = state_of(L);
    state->open_objects--;
    state->held -= object->held;
    if (object->closed_line == state->period) state->open_of_period--;
}

/* The object at a stack index, or NULL for anything else. No library of a state of ours makes userdata but lk_new_object,
 * so a block that is large enough has our header. */
static inline lk_object *object_at(lua_State *L, int index) {
    lk_object *object = lua_touserdata(L, index);
    return object && lua_rawlen(L, index) >= sizeof *object ? object : NULL;
}
