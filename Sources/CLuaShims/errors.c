/* Error tables: kind, message, and for a kernel's refusal operation, errno, name, object, request, hint. */
#include "internal.h"
#include <stdarg.h>
#include <string.h>

static const char error_key = 0;

static const char *field(lua_State *L, int index, const char *name) {
    lua_pushstring(L, name);
    lua_rawget(L, index);
    return lua_tostring(L, -1);
}

/* tostring(error): "FILE:LINE: message" [-0, +1, m] */
static int error_text(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *where = field(L, 1, "where"), *message = field(L, 1, "message");
    lua_pushfstring(L, "%s%s", where ? where : "", message ? message : "error without a message");
    return 1;
}

void lk_open_errors(lua_State *L) {
    lua_createtable(L, 0, 3);
    lua_pushcfunction(L, error_text);
    lua_setfield(L, -2, "__tostring");
    lua_pushliteral(L, "error");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    state_of(L)->error_metatable = lua_topointer(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &error_key);
}

void lk_make_error(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &error_key);
    lua_setmetatable(L, -2);
}

bool lk_is_error(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index)) return false;
    bool same = lua_topointer(L, -1) == state_of(L)->error_metatable;
    lua_pop(L, 1);
    return same;
}

static bool lacks(lua_State *L, const char *name) {
    bool absent = field(L, lua_gettop(L), name) == NULL;
    lua_pop(L, 1);
    return absent;
}

static void set(lua_State *L, const char *name) { /* [-1, +0, m]: table below the value */
    lua_pushstring(L, name);
    lua_insert(L, -2);
    lua_rawset(L, -3);
}

/* The position of the script's line: a module of the stdlib (whose chunk name begins with =) is looked through.
 * [-0, +1, m] */
static void push_where(lua_State *L) {
    lua_Debug info;
    /* A function of C's that raises has no line; below a hook the first is the script's. */
    for (int level = 0; lua_getstack(L, level, &info); level++) {
        lua_getinfo(L, "Sl", &info);
        if (info.currentline <= 0 || info.source[0] == '=') continue;
        lua_pushfstring(L, "%s:%d: ", info.short_src, info.currentline);
        return;
    }
    lua_pushliteral(L, "");
}

int lk_throw(lua_State *L) {
    if (lacks(L, "where")) {
        push_where(L);
        set(L, "where");
    }
    if (lacks(L, "traceback")) {
        luaL_traceback(L, L, NULL, 1);
        set(L, "traceback");
    }
    return lua_error(L);
}

static void new_error(lua_State *L, const char *kind, const char *operation) {
    lua_createtable(L, 0, 8);
    lua_pushstring(L, kind);
    set(L, "kind");
    if (operation) {
        lua_pushstring(L, operation);
        set(L, "operation");
    }
    lk_make_error(L);
}

int lk_raise(lua_State *L, const char *kind, const char *operation, const char *format, ...) {
    luaL_checkstack(L, 12, NULL);
    new_error(L, kind, operation);
    va_list arguments;
    va_start(arguments, format);
    lua_pushvfstring(L, format, arguments);
    va_end(arguments);
    if (operation) {
        lua_pushfstring(L, "%s: %s", operation, lua_tostring(L, -1));
        lua_remove(L, -2);
    }
    set(L, "message");
    return lk_throw(L);
}

/* Message handler: whatever was raised becomes an error table with a traceback. */
static int handle(lua_State *L) {
    if (!lk_is_error(L, 1)) {
        luaL_tolstring(L, 1, NULL);
        new_error(L, "script", NULL);
        lua_pushvalue(L, -2);
        set(L, "message");
        lua_pushliteral(L, ""); /* Lua's own messages carry their position */
        set(L, "where");
        lua_replace(L, 1);
    }
    lua_settop(L, 1);
    if (lacks(L, "traceback")) {
        luaL_traceback(L, L, NULL, 1);
        set(L, "traceback");
    }
    return 1;
}

int lk_call(lua_State *L, int arguments, int results) {
    int base = lua_gettop(L) - arguments;
    lua_pushcfunction(L, handle);
    lua_insert(L, base);
    int foreign = lk_enter(L);
    int status = lua_pcall(L, arguments, results, base);
    state_of(L)->foreign = foreign;
    lua_remove(L, base);
    if (status != LUA_OK && !lk_is_error(L, -1)) { /* out of memory, or an error in the handler itself */
        if (status == LUA_ERRMEM) lk_push_lack_of_memory(L);
        else lk_push_text(L, -1);
        new_error(L, status == LUA_ERRMEM ? "memory" : "script", NULL);
        lua_pushvalue(L, -2);
        set(L, "message");
        if (status == LUA_ERRMEM) {
            lua_pushstring(L, state_of(L)->refused_at);
            set(L, "where");
        }
        lua_pushliteral(L, ""); /* nothing is left to trace */
        set(L, "traceback");
        lua_replace(L, -3);
        lua_pop(L, 1);
    }
    return status;
}

static int tolstring(lua_State *L) {
    luaL_tolstring(L, 1, NULL);
    return 1;
}

void lk_push_text(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_pushcfunction(L, tolstring);
    lua_pushvalue(L, index);
    int foreign = lk_enter(L);
    int status = lua_pcall(L, 1, 1, 0);
    state_of(L)->foreign = foreign;
    if (status != LUA_OK) {
        lua_pop(L, 1);
        lua_pushfstring(L, "a %s that cannot be shown", luaL_typename(L, index));
    }
}

static int smaller(int a, int b) { return a < b ? a : b; }

/* Optimal string alignment: insertions, deletions, changes and swaps of neighbours. */
int lk_distance(const char *a, const char *b) {
    enum { MAX = 64 };
    int rows[3][MAX + 1];
    int la = (int)strnlen(a, MAX), lb = (int)strnlen(b, MAX);
    for (int j = 0; j <= lb; j++) rows[0][j] = j;
    for (int i = 1; i <= la; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *second = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            row[j] = smaller(above[j - 1] + (a[i - 1] != b[j - 1]), smaller(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = smaller(row[j], second[j - 2] + 1);
        }
    }
    return rows[la % 3][lb];
}

void lk_suggest(lua_State *L, const char *word, const char *best, int distance) {
    if (!best || distance > (int)strnlen(word, 1000) / 2) return;
    lua_pushfstring(L, "%s; did you mean '%s'?", lua_tostring(L, -1), best);
    lua_remove(L, -2);
}
