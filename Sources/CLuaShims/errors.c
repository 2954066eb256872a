/* Error tables: kind, message, and for a kernel's refusal operation, errno, name, object, request, hint. */
#include "internal.h"
#include <stdarg.h>
#include <string.h>

static const char error_key = 0, closing_key = 0, finalizing_key = 0;

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

/* __concat of errors: "before: " .. error uses the error's text. [-0, +1, e] */
static int error_concat(lua_State *L) {
    for (int i = 1; i <= 2; i++) {
        if (!lk_is_error(L, i)) continue;
        luaL_tolstring(L, i, NULL);
        lua_replace(L, i);
    }
    lua_concat(L, 2);
    return 1;
}

void lk_open_errors(lua_State *L) {
    lua_createtable(L, 0, 4);
    lua_pushcfunction(L, error_text);
    lua_setfield(L, -2, "__tostring");
    lua_pushcfunction(L, error_concat);
    lua_setfield(L, -2, "__concat");
    lua_pushliteral(L, "error");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    state_of(L)->error_metatable = lua_topointer(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &error_key);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &closing_key);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &finalizing_key);
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

/* Pushes the position of the script's line. Frames of the stdlib (chunk names that begin with =) are skipped.
 * [-0, +1, m] */
static void push_where(lua_State *L) {
    lua_Debug info;
    /* C functions have no line. Where a hook raises, level 0 is the script's own function. */
    for (int level = 0; lua_getstack(L, level, &info); level++) {
        lua_getinfo(L, "Sl", &info);
        if (info.currentline <= 0 || info.source[0] == '=') continue;
        lua_pushfstring(L, "%s:%d: ", info.short_src, info.currentline);
        return;
    }
    lua_pushliteral(L, "");
}

/* Gives the error table at the top a position and a traceback, where it has none. */
static void complete(lua_State *L) {
    if (lacks(L, "where")) {
        push_where(L);
        set(L, "where");
    }
    if (lacks(L, "traceback")) {
        luaL_traceback(L, L, NULL, 1);
        set(L, "traceback");
    }
}

int lk_throw(lua_State *L) {
    complete(L);
    return lua_error(L);
}

static void append(lua_State *L, int list) { /* [-1, +0, m] */
    list = lua_absindex(L, list);
    lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
}

static void keep_closing(lua_State *L) { /* [-1, +0, m] */
    lua_rawgetp(L, LUA_REGISTRYINDEX, &closing_key);
    lua_insert(L, -2);
    append(L, -2);
    lua_pop(L, 1);
}

void lk_keep_closing(lua_State *L) {
    luaL_checkstack(L, 12, NULL);
    complete(L);
    keep_closing(L);
}

/* Runs in the collector: it must not start another collection, and has only the stack slots that Lua keeps spare. */
void lk_keep_finalizing(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &finalizing_key);
    lua_pushvalue(L, -2);
    append(L, -2);
    lua_pushinteger(L, state_of(L)->finalized_era);
    append(L, -2);
    state_of(L)->finalized_era = LK_NO_ERA;
    lua_pop(L, 1);
}

/* The list under finalizing_key holds errors and eras in turn. */
void lk_take_finalizing(lua_State *L) {
    lua_checkstack(L, 12);
    lua_newtable(L);
    int list = lua_gettop(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &finalizing_key);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &finalizing_key);
    for (lua_Integer i = 1; i < (lua_Integer)lua_rawlen(L, list + 1); i += 2) {
        lua_rawgeti(L, list + 1, i);
        lk_push_text(L, -1);
        new_error(L, "script", "__gc");
        lua_pushfstring(L, "in a finalizer (__gc): %s", lua_tostring(L, -2));
        set(L, "message");
        lua_rawgeti(L, list + 1, i + 1);
        if (lua_tointeger(L, -1) == LK_NO_ERA) lua_pop(L, 1);
        else set(L, "era");
        append(L, list);
        lua_settop(L, list + 1);
    }
    lua_settop(L, list);
}

void lk_take_closing(lua_State *L) {
    lua_checkstack(L, 12);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &closing_key);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &closing_key);
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

/* Makes an error table of any value at index 1. */
static void wrap_value(lua_State *L) {
    luaL_tolstring(L, 1, NULL);
    new_error(L, "script", NULL);
    lua_pushvalue(L, -2);
    set(L, "message");
    lua_pushliteral(L, ""); /* Lua's own messages carry their position */
    set(L, "where");
    if (lua_type(L, 1) == LUA_TTABLE && luaL_getmetafield(L, 1, "__tostring") == LUA_TNIL) {
        lua_pushvalue(L, 1); /* a table without __tostring: its fields are shown */
        set(L, "value");
    }
    lua_settop(L, 3); /* the value, its text, the table */
    lua_replace(L, 1);
    lua_settop(L, 1);
}

/* True where the called function's frame is gone: a memory error unwound it without calling the message handler.
 * Upvalue 2 is that function. */
static bool is_left(lua_State *L) {
    lua_Debug info;
    int low = 0, high = 1;
    while (lua_getstack(L, high, &info)) low = high, high *= 2;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (lua_getstack(L, middle, &info)) low = middle;
        else high = middle;
    }
    if (!lua_getstack(L, low, &info)) return false;
    lua_getinfo(L, "ft", &info);
    bool is_same = info.istailcall || lua_rawequal(L, -1, lua_upvalueindex(2));
    lua_pop(L, 1);
    return !is_same;
}

static bool has(lua_State *L, int list, int index) {
    bool found = false;
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, list); i > 0 && !found; i--) {
        lua_rawgeti(L, list, i);
        found = lua_rawequal(L, -1, index);
        lua_pop(L, 1);
    }
    return found;
}

/* Message handler: makes any raised value an error table with a traceback. Lua calls it for the error that ends the
 * call, and again for each error raised while variables are closed, which would replace the first. Upvalue 1 lists all
 * of them in order. */
static int handle(lua_State *L) {
    lua_settop(L, 1);
    if (!lk_is_error(L, 1)) wrap_value(L);
    if (lacks(L, "traceback")) {
        luaL_traceback(L, L, NULL, 1);
        set(L, "traceback");
    }
    if (has(L, lua_upvalueindex(1), 1)) return 1;
    if (lua_rawlen(L, lua_upvalueindex(1)) == 0) {
        if (is_left(L)) {
            new_error(L, "memory", NULL);
            lk_push_lack_of_memory(L);
            set(L, "message");
            lua_pushstring(L, state_of(L)->refused_at);
            set(L, "where");
            lua_pushvalue(L, -1);
            append(L, lua_upvalueindex(1));
        }
        lk_crossing before = lk_cross(L);
        if (state_of(L)->raised) state_of(L)->raised(L);
        lk_return(L, before);
    }
    lua_pushvalue(L, 1);
    append(L, lua_upvalueindex(1));
    return 1;
}

/* Stack: list, error. Replaces both by the list's first error; the others are kept for lk_take_closing. [-2, +1, m] */
static void settle(lua_State *L) {
    int list = lua_gettop(L) - 1;
    if (!has(L, list, list + 1)) {
        lua_pushvalue(L, list + 1);
        append(L, list);
    }
    for (lua_Integer i = 2; i <= (lua_Integer)lua_rawlen(L, list); i++) {
        lua_rawgeti(L, list, i);
        keep_closing(L);
    }
    lua_rawgeti(L, list, 1);
    lua_replace(L, list);
    lua_pop(L, 1);
}

static int as_error(lua_State *L) {
    lua_settop(L, 1);
    if (!lk_is_error(L, 1)) wrap_value(L);
    return 1;
}

/* Message handler that leaves errors as they are. Upvalue 1 lists them in order. */
static int list_error(lua_State *L) {
    lua_settop(L, 1);
    if (has(L, lua_upvalueindex(1), 1)) return 1;
    lua_pushvalue(L, 1);
    append(L, lua_upvalueindex(1));
    return 1;
}

void lk_push_listing(lua_State *L) {
    lua_pushcfunction(L, list_error); /* reserves the handler's slot below the list */
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_pushcclosure(L, list_error, 1);
    lua_replace(L, -3);
}

int lk_raise_first(lua_State *L, int list) {
    if (lua_rawlen(L, list) == 0) return lua_error(L); /* no memory: Lua called no handler */
    if (!has(L, list, lua_gettop(L))) {
        lua_pushvalue(L, -1);
        append(L, list);
    }
    for (lua_Integer i = 2; i <= (lua_Integer)lua_rawlen(L, list); i++) {
        lua_pushcfunction(L, as_error);
        lua_rawgeti(L, list, i);
        lua_call(L, 1, 1);
        lk_keep_closing(L);
    }
    lua_rawgeti(L, list, 1);
    return lua_error(L);
}

int lk_call(lua_State *L, int arguments, int results) {
    int base = lua_gettop(L) - arguments;
    lua_newtable(L);
    lua_insert(L, base);
    lua_pushvalue(L, base);
    lua_pushvalue(L, base + 1);
    lua_pushcclosure(L, handle, 2);
    lua_insert(L, base + 1);
    int foreign = lk_enter(L);
    int status = lua_pcall(L, arguments, results, base + 1);
    state_of(L)->foreign = foreign;
    lua_remove(L, base + 1);
    if (status == LUA_OK) {
        lua_remove(L, base);
        return status;
    }
    if (!lk_is_error(L, -1)) { /* out of memory, or an error in the handler itself */
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
    settle(L);
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
