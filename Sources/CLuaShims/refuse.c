#include "refuse.h"
#include <limits.h>
#include <string.h>

void lk_push_path(lua_State *L, const arg_path *at) { /* [-0, +1, m] */
    if (!at) {
        lua_pushliteral(L, "");
        return;
    }
    lk_push_path(L, at->parent);
    const char *before = lua_tostring(L, -1);
    if (!at->name) lua_pushfstring(L, "%s[%I]", before, (LUAI_UACINT)at->index);
    else if (*before) lua_pushfstring(L, "%s.%s", before, at->name);
    else lua_pushstring(L, at->name);
    lua_remove(L, -2);
}

int lk_refuse(lua_State *L, const lk_function *f, const arg_path *at) { /* message at the top */
    lk_push_path(L, at);
    const char *where = lua_tostring(L, -1);
    if (strcmp(where, "self") == 0) return lk_raise(L, "argument", f->name, "the object %s", lua_tostring(L, -2));
    if (*where) return lk_raise(L, "argument", f->name, "'%s' %s", where, lua_tostring(L, -2));
    return lk_raise(L, "argument", f->name, "the argument %s", lua_tostring(L, -2));
}

void lk_check_call(lua_State *L, const lk_function *f) {
    const char *colon = strchr(f->name, ':'), *dot = strchr(f->name, '.');
    if (colon || !dot || !lua_istable(L, 1)) return;
    lua_pushlstring(L, f->name, (size_t)(dot - f->name));
    lk_get_module(L, lua_tostring(L, -1));
    if (lua_rawequal(L, 1, -1)) lk_raise(L, "argument", f->name, "it is no method; call it with a dot, %s(...)", f->name);
    lua_pop(L, 2);
}

/* Refuses "dev.export_dmabuf {...}", and suggests "dev:export_dmabuf {...}". */
static void check_receiver(lua_State *L, const lk_function *f, const arg_path *at, int index) {
    if (at->parent || index != 1) return;
    if (strchr(f->name, ':') && strcmp(at->name, "self") == 0 && !lua_isuserdata(L, 1))
        lk_raise(L, "argument", f->name, "it is a method and has no object here; call it with a colon, %s(...)", f->name);
}

int lk_wrong_type(lua_State *L, const lk_function *f, const arg_path *at, int index, const char *expected) {
    check_receiver(L, f, at, index);
    const char *given = luaL_typename(L, index);
    if (luaL_getmetafield(L, index, "__name") == LUA_TSTRING) given = lua_tostring(L, -1);
    if (lua_isnoneornil(L, index)) lua_pushfstring(L, "is missing; it must be %s", expected);
    else lua_pushfstring(L, "must be %s, not a %s", expected, given);
    return lk_refuse(L, f, at);
}

void lk_near_name(lua_State *L, const lk_type *type, const char *word) {
    const char *best = NULL;
    int least = INT_MAX;
    for (int i = 0; i < type->count; i++) {
        const char *name = type->kind == LK_RECORD ? type->fields[i].name : type->names[i];
        int distance = lk_distance(word, name);
        if (distance < least) least = distance, best = name;
    }
    lk_suggest(L, word, best, least);
}
