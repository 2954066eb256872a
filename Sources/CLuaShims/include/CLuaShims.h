/* The part of the work with Lua that Swift cannot do. A Lua error is a longjmp, and a longjmp over a Swift frame leaks
 * what that frame owned; so every function that can raise is C, and no Swift frame lies between a raise and the pcall
 * that catches it.
 *
 * The trampoline calls a Swift function with arguments that C has checked and decoded by the function's description.
 * The function returns the number of results, or -1 with an error table on the stack, which C then raises. */
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
    const char *_Nullable was; /* its name before version 0.2, where renamed */
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
    uint32_t effects; /* effects outside the script, one bit each */
    /* Replace `effects` where parameter number `selector` has the value `selected`; -1 for none. */
    int selector;
    int64_t selected;
    uint32_t selected_effects;
} lk_function;

enum { LK_PARAMETERS_MAX = 8 };

/* --- Objects ----------------------------------------------------------------------------------------------------- */

/* Results of a class's close function. Where it failed, the error table is on the stack. */
enum lk_closing { LK_CLOSED, LK_CLOSED_WITH_ERROR, LK_STILL_OPEN };

/* A member that had another name before version 0.2. Arrays of them end with an element whose names are NULL. */
typedef struct lk_renamed {
    const char *_Nullable was, *_Nullable name;
} lk_renamed;

typedef struct lk_class {
    const char *name; /* "vfio device" */
    const lk_renamed *_Nullable renamed; /* methods */
    enum lk_closing (*close)(lua_State *L, void *payload, bool collecting);
    void (*destroy)(void *payload);
} lk_class;

/* Pushes a new open object and returns the address of its payload (aligned to 8). `parent` is the stack index of a
 * value that is kept alive, or 0. Without a label the object's name is a number, `length`. */
void *lk_new_object(lua_State *L, const lk_class *class_, size_t size, int parent, const char *_Nullable label,
                    size_t length);
/* Keeps the value at a stack index alive as long as the object at the top; `slot` is 0 to LK_KEPT_MAX - 1. */
enum { LK_KEPT_MAX = 3 };
void lk_keep(lua_State *L, int slot, int index);
/* Makes the metatable of a class; pops its methods, the table at the top. */
void lk_register_class(lua_State *L, lk_class *class_);
/* Pushes a closure that calls `function` through the trampoline. */
void lk_push_function(lua_State *L, const lk_function *function);
/* The name of what the value at `index` is to the host: a described function ("vfio.open"), an object's class, or a kind of
 * returned table; NULL for any other value. */
const char *_Nullable lk_described(lua_State *L, int index);
/* Makes the table at the top raise an error that names `what` for unknown keys and for writes. The error of a renamed
 * member gives the new name. */
void lk_seal(lua_State *L, const char *what, const lk_renamed *_Nullable renamed);

/* A kind of table that functions return. */
typedef struct lk_record {
    const char *name; /* "rdma.completion" */
    const char *_Nullable const *_Nullable fields;
    int count;
    const lk_renamed *_Nullable renamed;
} lk_record;
/* Makes the metatable of such tables. Reading a field that the kind does not have is an error; one that is absent is
 * nil. */
void lk_register_record(lua_State *L, const lk_record *record);
/* Gives the table at the top that metatable; false where lk_register_record was not called yet. */
bool lk_set_record(lua_State *L, const char *name);

/* --- The state --------------------------------------------------------------------------------------------------- */

/* Looks for a module. Results: 1, its loader chunk is pushed; 2, the same, and the table that it returns is sealed; 0,
 * the module was set by lk_set_module; -1, an error table is pushed. */
typedef int (*lk_finder)(lua_State *L, const char *name, size_t length);
/* Called before a function with effects that are not permitted yet. Results: 0, or -1 with an error table pushed. */
typedef int (*lk_permit)(lua_State *L, const char *function, uint32_t effects);
/* Called with the first error that ends a protected call by Swift, before variables are closed; its table is at the
 * top. */
typedef void (*lk_raised)(lua_State *L);
typedef void (*lk_printer)(lua_State *L, const char *text, size_t length);
/* Called with an error of a finalizer; `era` is that of its object, or -1 where unknown. */
typedef void (*lk_finalizing)(lua_State *L, const char *text, size_t length, int64_t era);

/* Makes a state with the libraries that a script may use, strict globals and our require and print; NULL where there is
 * no memory. Memory that runs out later is an error of the script, but ends the process where unwinding would cross
 * Swift frames. `seed` seeds math.random. */
lua_State *_Nullable lk_new_state(void *context, void *owner, lk_finder finder, lk_printer printer, int64_t seed);
/* Whether the script drew numbers from math.random that depend on that seed. */
bool lk_drew_random(lua_State *L);
/* Why a script was told to stop. */
enum lk_stop { LK_RUNS, LK_INTERRUPTED, LK_TIMEOUT, LK_OUTPUT };
/* lua_close, which runs all finalizers, and frees the rest. Returns why the script was stopped, also where that
 * happened during closing. */
enum lk_stop lk_close_state(lua_State *L);
/* Limits Lua's memory, in bytes; exceeding it is Lua's "not enough memory" error. Values that Swift pushes may exceed
 * it until the next call into Swift. */
void lk_limit_memory(lua_State *L, size_t bytes);
/* Counts bytes outside Lua towards that limit, until lk_release. Where there is no room, runs a full collection first;
 * false, and nothing counted, where there is still none. */
bool lk_hold(lua_State *L, size_t bytes);
void lk_release(lua_State *L, size_t bytes);
/* Has such bytes released when the object at the top is closed. */
void lk_hold_until_closed(lua_State *L, size_t bytes);
size_t lk_memory_limit(lua_State *L);
/* The `context` that lk_new_state got, from any coroutine of the state. */
void *lk_context(lua_State *L);
void *lk_owner(lua_State *L);
/* From now on `permit` is called before a function has effects that are not in `permitted`. Without it every effect is
 * permitted. */
void lk_ask_for_effects(lua_State *L, lk_permit permit);
void lk_permit_effects(lua_State *L, uint32_t permitted);
/* Stops the running script with an error for the reason `why`; safe in a signal handler. Does nothing for NULL. */
void lk_interrupt(lua_State *_Nullable L, enum lk_stop why);
enum lk_stop lk_interrupted(lua_State *L);
/* Stops the state that receives signals (lk_interrupt_on_signals) with a "timeout" error; a system call in which it
 * waits returns. May be called in any thread. */
void lk_end_time(void);
/* Bytes of "FILE:LINE: ", with the final zero. */
enum { LK_POSITION = 128 };
/* Writes where the state that receives signals called the C function (such as string.find) that does not return:
 * LK_POSITION bytes, or an empty string for any other reason. May be called in any thread but that state's. */
void lk_stuck_position(char *text);
/* From now on a second SIGALRM writes that position to a descriptor, as a line {"position":"..."}. */
void lk_tell_position(int fd);
/* Lets a state run again after it was stopped; call it where nothing of it runs. */
void lk_resume(lua_State *L);
/* Not 0 once the state is interrupted; for loops that run no Lua. */
const volatile int *_Nonnull lk_interruption(lua_State *L);
/* From now on SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGPIPE interrupt this state, which runs in the calling thread, and
 * SIGALRM ends its time. The third signal ends the process, but for SIGPIPE and SIGALRM. NULL restores the previous
 * handlers. */
void lk_interrupt_on_signals(lua_State *_Nullable L);
/* Whether such a signal, other than SIGALRM, has come since. */
bool lk_was_asked_to_end(void);
/* Whether one came, in the life of the process, that asks for more than Ctrl-C does: SIGTERM, SIGHUP, SIGQUIT. */
bool lk_was_terminated(void);
/* Closes unreferenced objects and runs their finalizers, by a full collection, where objects were created since the
 * last call, or where the state is small. Raises nothing. */
void lk_collect(lua_State *L);
/* Pops the table at the top and registers it as module `name`. */
void lk_set_module(lua_State *L, const char *name);
/* Pushes the module registered under that name, or nil. */
void lk_get_module(lua_State *L, const char *name);

/* --- Calls from Swift, none of which raises ---------------------------------------------------------------------- */

/* lua_pcall with a handler that makes every error an error table with a traceback. Where closing variables raises more
 * errors, the result is still the first one; the others are kept for lk_take_closing. */
int lk_call(lua_State *L, int arguments, int results);
/* Pushes the list of error tables raised by closing beside other errors, since the last call. */
void lk_take_closing(lua_State *L);
/* Pushes the list of errors of the script's finalizers, since the last call. Each has the "era" of its object, where
 * known. */
void lk_take_finalizing(lua_State *L);
/* `raised` gets the first error of a call; `finalizing` gets texts of errors that finalizers raise while the state is
 * closed. */
void lk_tell_errors(lua_State *L, lk_raised raised, lk_finalizing finalizing);
/* Sets the era, from 0, of objects that are made from now on; errors of their finalizers carry it. */
void lk_begin_era(lua_State *L, int64_t era);
/* luaL_loadbufferx, text only. */
int lk_load(lua_State *L, const char *text, size_t length, const char *name);
/* lua_next, for a table that does not change meanwhile. */
bool lk_next(lua_State *L, int index);
/* The line on which the function at `index` is defined. */
int lk_function_line(lua_State *L, int index);
/* The chunk name of the function at `index`; valid while the function is on the stack. */
const char *_Nullable lk_function_source(lua_State *L, int index);
/* Whether Lua's own string.find finds the pattern in the text; false where the pattern is malformed. */
bool lk_finds(lua_State *L, const char *pattern, size_t pattern_length, const char *text, size_t length);
/* Gives the table at the top of the stack the metatable of errors. */
void lk_make_error(lua_State *L);
bool lk_is_error(lua_State *L, int index);
/* luaL_tolstring in a protected call: pushes the text of any value. */
void lk_push_text(lua_State *L, int index);

/* --- Shared with option parsing ---------------------------------------------------------------------------------- */

/* Reads "4096", "0x1000", "64K", "1MiB", in bytes; false where it is malformed or does not fit. */
bool lk_parse_size(const char *text, size_t length, int64_t *result);

#define LK_NEAR_SIZE 24
/* The size that a malformed text probably means, in `near`, of LK_NEAR_SIZE bytes: "64K" for "64k", "64 KB" and "64kib";
 * false where none is near. */
bool lk_near_size(const char *text, size_t length, char *near);
/* Reads "150ms", "1.5s", "2m", "1h", in milliseconds; false where it is malformed or more than 10000 years. */
bool lk_parse_time(const char *text, int64_t *milliseconds);
/* Edit distance of two words, for "did you mean"; compares at most 64 characters. */
int lk_distance(const char *a, const char *b);

/* Macros of lua.h that Swift cannot see. */
static inline void lk_pop(lua_State *L, int count) { lua_settop(L, -count - 1); }
static inline const char *_Nullable lk_to_bytes(lua_State *L, int index, size_t *length) {
    return lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, length) : NULL;
}
static inline int lk_registry(void) { return LUA_REGISTRYINDEX; }
static inline int lk_upvalue(int index) { return lua_upvalueindex(index); }

#pragma clang assume_nonnull end
