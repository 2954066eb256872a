/* How arguments are refused: which one, and what it must be. */
#pragma once
#include "internal.h"

/* Where in the arguments we are, for messages: ranges[2].offset */
typedef struct arg_path {
    const struct arg_path *parent;
    const char *name; /* NULL: an index */
    lua_Integer index;
} arg_path;

void lk_push_path(lua_State *L, const arg_path *at); /* [-0, +1, m] */
/* Raises about the argument, with the message at the top: "must be ...". [-1, +0, e] */
int lk_refuse(lua_State *L, const lk_function *f, const arg_path *at);
/* Raises where a module's function is called with a colon. [-0, +0, e] */
void lk_check_call(lua_State *L, const lk_function *f);
/* Raises because the value at `index` is not what is expected: "an integer". [-0, +0, e] */
int lk_wrong_type(lua_State *L, const lk_function *f, const arg_path *at, int index, const char *expected);
/* Raises where the value at `index` is a string, and quotes it: it is none of `expected`, which other types are no matter
 * what they hold. Returns for other types. [-0, +0, e] */
void lk_wrong_text(lua_State *L, const lk_function *f, const arg_path *at, int index, const char *expected,
                   const char *advice);
/* Appends the type's name that is nearest to `word` to the string at the top. [-1, +1, m] */
void lk_near_name(lua_State *L, const lk_type *type, const char *word);
