/* What Swift cannot do with Lua. A Lua error is a longjmp, and a longjmp over a Swift frame leaks whatever that frame
 * owned; so every function here that can raise is C, and every raise happens with no Swift frame above its catch.
 *
 * A Swift function is called by the trampoline with arguments that C has checked and decoded from the function's
 * description. It returns the number of results, or -1 with an error table on the stack, which C then raises. */
#pragma once
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/* --- Descriptions ------------------------------------------------------------------------------------------------ */

enum lk_kind {
    LK_INTEGER, /* minimum..maximum */
    LK_SIZE,    /* as integer, or text such as "64K" or "0x1000" */
    LK_TIME,    /* milliseconds: an integer, or text such as "30s" */
    LK_NUMBER,
    LK_BOOLEAN,
    LK_STRING, /* any bytes; minimum..maximum is the length */
    LK_ENUM,   /* one of names; the value is values[i] */
    LK_FLAGS,  /* a list of names; the value is the OR of values[i] */
    LK_OBJECT, /* an open object of a class */
    LK_RECORD, /* a table with the fields given, and no others */
    LK_LIST,   /* a sequence of element, minimum..maximum long */
    LK_ANY     /* left on the stack; count is its index */
};

struct lk_class;
struct lk_field;

typedef struct lk_type {
    enum lk_kind kind;
    int64_t minimum, maximum;
    const char *_Nullable const *_Nullable names;
    const int64_t *_Nullable values;
    int count; /* of names, or of fields */
    const struct lk_class *_Nullable object;
    const struct lk_field *_Nullable fields;
    const uint32_t *_Nullable keys; /* an id for each field, by which Swift finds it */
    const struct lk_type *_Nullable element;
} lk_type;

/* A decoded argument. Bytes and items stay valid until the function returns. */
typedef struct lk_value {
    bool present;
    int64_t integer; /* INTEGER, SIZE, TIME, BOOLEAN, ENUM, FLAGS */
    double number;
    const void *_Nullable pointer; /* STRING: bytes; OBJECT: payload; RECORD and LIST: lk_value items */
    size_t count;                  /* bytes, items, or the stack index of ANY */
    const uint32_t *_Nullable keys; /* RECORD: its type's */
} lk_value;

typedef struct lk_field {
    const char *name;
    const char *_Nullable was; /* its name before version 0.2, where that was another */
    lk_type type;
    bool optional;
    lk_value fallback; /* taken where the field is absent */
} lk_field;

typedef int (*lk_entry)(lua_State *L, const lk_value *arguments);

typedef struct lk_function {
    const char *name; /* "vfio.open", "dev:reset" */
    const lk_field *_Nullable parameters;
    int count;
    lk_entry entry;
    uint32_t effects; /* what it changes outside the script, a bit each */
    /* Where the parameter `selector` has the value `selected`, it has these instead; -1 for none. */
    int selector;
    int64_t selected;
    uint32_t selected_effects;
} lk_function;

enum { LK_PARAMETERS_MAX = 8 };

/* --- Objects ----------------------------------------------------------------------------------------------------- */

/* Results of a class's close function. The error table is on the stack where it failed. */
enum lk_closing { LK_CLOSED, LK_CLOSED_WITH_ERROR, LK_STILL_OPEN };

/* A member that had another name before version 0.2. Lists of them end with one whose names are NULL. */
typedef struct lk_renamed {
    const char *_Nullable was, *_Nullable name;
} lk_renamed;

typedef struct lk_class {
    const char *name; /* "vfio device" */
    const lk_renamed *_Nullable renamed; /* methods */
    enum lk_closing (*close)(lua_State *L, void *payload, bool collecting);
    void (*destroy)(void *payload);
} lk_class;

/* A new open object on top of the stack; the result is where its payload goes (aligned to 8). `parent` is a stack index
 * whose value is kept alive, or 0. Without a label it is called by a number, `length`. */
void *lk_new_object(lua_State *L, const lk_class *class_, size_t size, int parent, const char *_Nullable label,
                    size_t length);
/* Keeps the value at a stack index alive as long as the object at the top; `slot` counts from 0. */
enum { LK_KEPT_MAX = 3 };
void lk_keep(lua_State *L, int slot, int index);
/* Makes the metatable of a class; `methods` at the top of the stack is taken. */
void lk_register_class(lua_State *L, lk_class *class_);
/* Pushes a closure that calls `function` through the trampoline. */
void lk_push_function(lua_State *L, const lk_function *function);
/* Makes the table at the top of the stack answer unknown keys with an error that names `what`, and refuse writes. An old name's
 * error tells the new one. */
void lk_seal(lua_State *L, const char *what, const lk_renamed *_Nullable renamed);

/* A kind of table that functions return. */
typedef struct lk_record {
    const char *name; /* "rdma.completion" */
    const char *_Nullable const *_Nullable fields;
    int count;
    const lk_renamed *_Nullable renamed;
} lk_record;
/* Makes the metatable of such tables: reading a field that the kind does not have is an error; one that is absent is nil. */
void lk_register_record(lua_State *L, const lk_record *record);
/* Gives the table at the top that metatable; false where it is not made yet. */
bool lk_set_record(lua_State *L, const char *name);

/* --- The state --------------------------------------------------------------------------------------------------- */

/* The name of a module in; its loader chunk pushed (1, or 2 where the table that it returns is sealed), the module set by
 * lk_set_module (0), or an error table pushed (-1). */
typedef int (*lk_finder)(lua_State *L, const char *name, size_t length);
/* Asked before a function with effects that are not permitted yet is called: 0, or an error table pushed (-1). */
typedef int (*lk_permit)(lua_State *L, const char *function, uint32_t effects);
/* Told of the first error that ends a protected call of Swift's, its table at the top, before anything is closed. */
typedef void (*lk_raised)(lua_State *L);
typedef void (*lk_printer)(lua_State *L, const char *text, size_t length);
/* Told of what a finalizer raises; `era` of its object is -1 where it is not known. */
typedef void (*lk_finalizing)(lua_State *L, const char *text, size_t length, int64_t era);

/* A state with the libraries a script may have, strict globals and our require and print; NULL without memory. Memory
 * that runs out later is an error of the script's, but ends the process where unwinding would cross Swift frames. `seed`
 * is what math.random begins with. */
lua_State *_Nullable lk_new_state(void *context, void *owner, lk_finder finder, lk_printer printer, int64_t seed);
/* Whether a script has drawn from math.random what hangs on that seed. */
bool lk_drew_random(lua_State *L);
/* Why a script was told to stop. */
enum lk_stop { LK_RUNS, LK_INTERRUPTED, LK_TIMEOUT, LK_OUTPUT };
/* lua_close, which finalizes every object, and the rest. Whether it was interrupted, up to the end. */
enum lk_stop lk_close_state(lua_State *L);
/* Bytes that Lua may have; more is its "not enough memory" error. What Swift gives it may exceed that, until the next call. */
void lk_limit_memory(lua_State *L, size_t bytes);
/* Counts bytes outside Lua against that limit, until they are released; false, and nothing is counted, where there is no room. */
bool lk_hold(lua_State *L, size_t bytes);
void lk_release(lua_State *L, size_t bytes);
/* They are released with the object at the top, when it is closed. */
void lk_hold_until_closed(lua_State *L, size_t bytes);
size_t lk_memory_limit(lua_State *L);
/* What lk_new_state was given, from any coroutine of the state. */
void *lk_context(lua_State *L);
void *lk_owner(lua_State *L);
/* From now on `permit` is asked before effects, but for those in `permitted`. Without it every effect is permitted. */
void lk_ask_for_effects(lua_State *L, lk_permit permit);
void lk_permit_effects(lua_State *L, uint32_t permitted);
/* Makes the running script stop with an error that says why; safe in a signal handler. NULL does nothing. */
void lk_interrupt(lua_State *_Nullable L, enum lk_stop why);
enum lk_stop lk_interrupted(lua_State *L);
/* From any thread: the state that signals interrupt stops with a "timeout" error, and a call in which it waits returns. */
void lk_end_time(void);
/* Bytes of "FILE:LINE: " with its end. */
enum { LK_POSITION = 128 };
/* From any thread but the one whose state signals interrupt: where the script called the pattern that does not stop, LK_POSITION
 * bytes; empty where it is anything else that does not. */
void lk_stuck_position(char *text);
/* A second SIGALRM writes that to a descriptor, as a line {"position":"..."}. */
void lk_tell_position(int fd);
/* Not 0 once it is interrupted; for loops that run no Lua. */
const volatile int *_Nonnull lk_interruption(lua_State *L);
/* SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGPIPE interrupt this state, which runs in the calling thread, from now on; the
 * third ends the process, but for SIGPIPE. SIGALRM says that its time is over. NULL restores what they did before. */
void lk_interrupt_on_signals(lua_State *_Nullable L);
/* Whether such a signal has come since. */
bool lk_was_asked_to_end(void);
/* Closes what nobody holds any more, and runs its finalizers: objects that came since the last call, and, where there is
 * little else, all others. By a full collection, which raises nothing. */
void lk_collect(lua_State *L);
/* Registers the table at the top of the stack as module `name`, and takes it. */
void lk_set_module(lua_State *L, const char *name);
/* Pushes what was registered under that name, or nil. */
void lk_get_module(lua_State *L, const char *name);

/* --- Calls from Swift, none of which raises ---------------------------------------------------------------------- */

/* lua_pcall with a handler that makes every error an error table with a traceback. The error is the first: what failed when
 * that closed what it left is kept (lk_take_closing). */
int lk_call(lua_State *L, int arguments, int results);
/* Pushes the list of error tables that closing gave beside other errors since the last call. */
void lk_take_closing(lua_State *L);
/* The same of a script's own finalizers; each has its object's "era", or none where that is not known. */
void lk_take_finalizing(lua_State *L);
/* `finalizing` gets the text of what finalizers raise while the state is closed. */
void lk_tell_errors(lua_State *L, lk_raised raised, lk_finalizing finalizing);
/* What is made from now on is of that era, from 0: a failure of its finalizer says so. */
void lk_begin_era(lua_State *L, int64_t era);
/* luaL_loadbufferx, text only. */
int lk_load(lua_State *L, const char *text, size_t length, const char *name);
/* lua_next on a table that nobody changes meanwhile. */
bool lk_next(lua_State *L, int index);
/* The line on which the function at `index` is defined. */
int lk_function_line(lua_State *L, int index);
/* The name of the chunk it is of; valid as long as the function is on the stack. */
const char *_Nullable lk_function_source(lua_State *L, int index);
/* Whether Lua's own string.find finds a pattern in a text; false where it is no pattern. */
bool lk_finds(lua_State *L, const char *pattern, size_t pattern_length, const char *text, size_t length);
/* Gives the table at the top of the stack the metatable of errors. */
void lk_make_error(lua_State *L);
bool lk_is_error(lua_State *L, int index);
/* luaL_tolstring under protection: the text of any value is pushed. */
void lk_push_text(lua_State *L, int index);

/* --- Shared with option parsing ---------------------------------------------------------------------------------- */

/* "4096", "0x1000", "64K", "1MiB"; false where it is no size or does not fit. */
bool lk_parse_size(const char *text, size_t length, int64_t *result);
/* "150ms", "1.5s", "2m", "1h", as milliseconds; false where it is no time, or more than 10000 years. */
bool lk_parse_time(const char *text, int64_t *milliseconds);
/* Edits between two words, for "did you mean"; at most 64 characters are compared. */
int lk_distance(const char *a, const char *b);

/* Macros of lua.h that Swift cannot see. */
static inline void lk_pop(lua_State *L, int count) { lua_settop(L, -count - 1); }
static inline const char *_Nullable lk_to_bytes(lua_State *L, int index, size_t *length) {
    return lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, length) : NULL;
}
static inline int lk_registry(void) { return LUA_REGISTRYINDEX; }
static inline int lk_upvalue(int index) { return lua_upvalueindex(index); }

#pragma clang assume_nonnull end
