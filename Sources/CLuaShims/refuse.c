#include "refuse.h"
#include <limits.h>
#include <stdio.h>
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

/* Pushes a string as it may stand in a message: printable, and cut between characters. [-0, +1, m] */
static void push_quoted(lua_State *L, int index) {
    enum { MOST = 64 };
    size_t length;
    const char *text = lua_tolstring(L, index, &length);
    size_t end = length < MOST ? length : MOST;
    while (end < length && end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80) end--;
    char escape[8];
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    luaL_addchar(&buffer, '\'');
    for (size_t i = 0; i < end; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte >= 0x20 && byte != 0x7f) {
            luaL_addchar(&buffer, text[i]);
            continue;
        }
        snprintf(escape, sizeof escape, "\\x%02x", byte);
        luaL_addstring(&buffer, escape);
    }
    luaL_addstring(&buffer, end < length ? "...'" : "'");
    luaL_pushresult(&buffer);
}

void lk_wrong_text(lua_State *L, const lk_function *f, const arg_path *at, int index, const char *expected,
                   const char *advice) {
    if (lua_type(L, index) != LUA_TSTRING) return;
    check_receiver(L, f, at, index);
    push_quoted(L, index);
    lua_pushfstring(L, "must be %s, not %s%s", expected, lua_tostring(L, -1), advice);
    lk_refuse(L, f, at);
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
