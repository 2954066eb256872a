#pragma once
#include "include/CLuaShims.h"
#include <pthread.h>

enum { LK_NOTING = 7, LK_NO_ERA = -1 };

/* Data of a state. lua_getextraspace() of each of its threads holds a pointer to it. */
typedef struct lk_state {
    void *context, *owner;
    lk_finder finder;
    lk_printer printer;
    lua_State *main;
    lua_State *volatile running; /* the coroutine that runs, for a signal handler */
    volatile int interrupted; /* enum lk_stop */
    int foreign; /* number of Swift frames between the running function and the nearest lua_pcall */
    /* The latest call into Swift: its Lua thread, and the CallInfo of the C function that made it; NULL where the host
     * called. */
    lua_State *foreign_thread;
    const void *foreign_call;
    size_t used, limit; /* bytes of Lua's memory */
    size_t held;        /* bytes outside Lua that count towards the limit */
    int period;         /* number of the current period; each lk_collect ends one */
    size_t open_objects, open_of_period;
    size_t finalizers, finalizers_of_period; /* of the script's own objects: not run yet */
    lua_Integer era, finalized_era; /* the current era, and that of the object whose finalizer runs */
    lk_permit permit;
    lk_raised raised;
    lk_finalizing finalizing; /* receives errors of finalizers while the state is closed */
    bool closing;
    uint32_t permitted; /* effects */
    const void *error_metatable;
    char refused_at[LK_POSITION]; /* "FILE:LINE: " where an allocation was refused last */
    bool refused_by_limit;        /* by our limit; else by malloc(3) */
    /* The running call of a C function that may run for ever, and its caller's position; see position.c. */
    const void *volatile noted_call;
    char noted[LK_POSITION];
    lua_CFunction originals[LK_NOTING]; /* Lua's own functions, which ours replace */
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

/* State of a call into Swift: lk_cross before it returns what lk_return after it needs. */
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
    int closed_line; /* while open: the period (lk_collect) in which it was created; then: the line that closed it */
    size_t held;     /* bytes outside Lua that count until it is closed */
} lk_object;
_Static_assert(sizeof(lk_object) % 8 == 0, "payloads are aligned to 8");

/* Raises the error table at the top, after giving it a position and a traceback. Stack effect [-1, +0, e]. */
int lk_throw(lua_State *L);
/* Raises an error of `kind` about `operation`, `format` as for lua_pushfstring. [-0, +0, e] */
int lk_raise(lua_State *L, const char *kind, const char *operation, const char *format, ...);
/* Keeps the error table at the top, raised by closing a variable while another error propagates. [-1, +0, m] */
void lk_keep_closing(lua_State *L);
/* Pushes a message handler and, above it, the list to which it appends errors. [-0, +2, m] */
void lk_push_listing(lua_State *L);
/* Raises the first error of such a list; the latest one is at the top. Keeps the others as errors of closing.
 * [-1, +0, e] */
int lk_raise_first(lua_State *L, int list);
/* Keeps the error at the top as one of a finalizer. [-0, +0, m] */
void lk_keep_finalizing(lua_State *L);
/* Pushes the text that follows the class in the name of the object at a stack index. [-0, +1, m] */
void lk_push_label(lua_State *L, int index);
/* Appends "; did you mean 'x'?" to the string at the top, where `distance` is small enough. [-1, +1, m] */
void lk_suggest(lua_State *L, const char *word, const char *best, int distance);
void lk_open_errors(lua_State *L);
void lk_open_libraries(lua_State *L);
/* Replaces setmetatable, so that the era of an object with a finalizer is noted. [-0, +0, m] */
void lk_open_finalizers(lua_State *L);
/* Replaces resume and wrap of the coroutine library, which is at the top, so that an interrupt finds the running
 * coroutine. */
void lk_open_coroutines(lua_State *L);
/* Writes "FILE:LINE: " of the script's running line, or an empty string. Allocates nothing. */
void lk_note_position(lua_State *L, char *text, size_t size);
/* Seeds math.random with `begin`; replaces it and math.randomseed. [-0, +0, e] */
void lk_open_random(lua_State *L, lua_Integer begin);
/* Replaces string.find, match, gsub, gmatch, pcall and xpcall by functions that note their caller's position, or forget
 * it. */
void lk_note_calls(lua_State *L);
/* For a handler of SIGALRM, in the thread that runs the state: writes the position where it is asked for. Reads only
 * data that is consistent at any instruction. */
void lk_position_signal(const lk_state *state);
/* Asks the thread that runs the state for its position; call it from another thread. */
void lk_ask_position(pthread_t thread, char *text);
/* Raises where the state was interrupted. */
void lk_check_interrupt(lua_State *L);
/* The allocator of a state, its owner. */
void *lk_allocate(void *owner, void *block, size_t old, size_t size);
/* Pushes the message for a script that has used up its memory. [-0, +1, m] */
void lk_push_lack_of_memory(lua_State *L);
void lk_forget_signals(lk_state *state);
/* Runs a full collection, and raises a "memory" error where the limit is still exceeded: values that Swift pushes are
 * counted, but not refused. */
int lk_check_memory(lua_State *L);

static inline bool lk_has_room(const lk_state *state, size_t more) {
    return more <= state->limit && state->used + state->held <= state->limit - more;
}

/* Counts an object as closed. */
static inline void lk_count_closed(lua_State *L, const lk_object *object) {
    lk_state *state = state_of(L);
    state->open_objects--;
    state->held -= object->held;
    if (object->closed_line == state->period) state->open_of_period--;
}

/* The object at a stack index, or NULL for any other value. In our states only lk_new_object makes userdata, so every
 * one that is large enough has our header. */
static inline lk_object *object_at(lua_State *L, int index) {
    lk_object *object = lua_touserdata(L, index);
    return object && lua_rawlen(L, index) >= sizeof *object ? object : NULL;
}

/* decode.c */
const lk_function *lk_function_at(lua_State *L, int index);
