/* How arguments are refused: which one, and what it must be. */
#pragma once
#include "internal.h"

/* Where in the arguments we are, for messages: ranges[2].offset */
typedef struct place {
    const struct place *parent;
    const char *name; /* NULL: an index */
    lua_Integer index;
} place;

void lk_push_place(lua_State *L, const place *at); /* [-0, +1, m] */
/* Raises about the argument, with the message at the top: "must be ...". [-1, +0, e] */
int lk_refuse(lua_State *L, const lk_function *f, const place *at);
/* The value at `index` is not what is expected: "an integer". [-0, +0, e] */
int lk_wrong_type(lua_State *L, const lk_function *f, const place *at, int index, const char *expected);
/* Appends the name of the type's that is near to the string at the top. [-1, +1, m] */
void lk_near_name(lua_State *L, const lk_type *type, const char *word);
