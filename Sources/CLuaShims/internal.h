#pragma once
#include "include/CLuaShims.h"

/* Behind the extra space of every thread of a state. */
typedef struct lk_state {
    void *context, *owner;
    lk_finder finder;
    lk_printer printer;
    volatile int interrupted;
    const void *error_metatable;
} lk_state;

static inline lk_state *state_of(lua_State *L) { return *(lk_state **)lua_getextraspace(L); }

/* The header of every userdata of ours; the payload follows. */
typedef struct lk_object {
    const lk_class *class_;
    int open;
    int closed_line;
} lk_object;

/* Raises the error table at the top, after giving it a position and a traceback. Stack effect [-1, +0, e]. */
int lk_throw(lua_State *L);
/* Raises an error of `kind` about `operation`, `format` as for lua_pushfstring. [-0, +0, e] */
int lk_raise(lua_State *L, const char *kind, const char *operation, const char *format, ...);
/* Appends "; did you mean 'x'?" to the string at the top where a name is near. [-1, +1, m] */
void lk_suggest(lua_State *L, const char *word, const char *best, int distance);
void lk_open_errors(lua_State *L);
void lk_open_libraries(lua_State *L);
