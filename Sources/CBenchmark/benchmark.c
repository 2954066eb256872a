#include "include/CBenchmark.h"
#include <lauxlib.h>

static lua_Integer in_range(lua_State *L, int index, lua_Integer low, lua_Integer high) {
    lua_Integer value = luaL_checkinteger(L, index);
    luaL_argcheck(L, value >= low && value <= high, index, "out of range");
    return value;
}

static int add(lua_State *L) {
    lua_pushinteger(L, in_range(L, 1, 0, 1 << 30) + in_range(L, 2, 0, 1 << 30));
    return 1;
}

/* A key that may be absent. */
static lua_Integer key(lua_State *L, const char *name, lua_Integer fallback) {
    lua_getfield(L, 1, name);
    lua_Integer value = lua_isnil(L, -1) ? fallback : in_range(L, -1, 0, 1 << 30);
    lua_pop(L, 1);
    return value;
}

/* It refuses no key that it does not know, as ours does. */
static int few_keys(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushinteger(L, key(L, "a", 0) + key(L, "b", 0) + key(L, "c", 0));
    return 1;
}

static int many_keys(lua_State *L) {
    static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p" };
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer sum = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) sum += key(L, names[i], 0);
    lua_pushinteger(L, sum);
    return 1;
}

static int method(lua_State *L) {
    lua_Integer *total = luaL_checkudata(L, 1, "benchmark.counter");
    *total += in_range(L, 2, 0, 1 << 30) + in_range(L, 3, 0, 1 << 30);
    lua_pushinteger(L, *total);
    return 1;
}

static int new_counter(lua_State *L) {
    lua_Integer *total = lua_newuserdatauv(L, sizeof *total, 0);
    *total = 0;
    luaL_setmetatable(L, "benchmark.counter");
    return 1;
}

int cbenchmark_open(lua_State *L) {
    luaL_newmetatable(L, "benchmark.counter");
    lua_newtable(L);
    lua_pushcfunction(L, method);
    lua_setfield(L, -2, "add");
    lua_setfield(L, -2, "__index");
    lua_newtable(L);
    lua_pushcfunction(L, add);
    lua_setfield(L, -2, "add");
    lua_pushcfunction(L, few_keys);
    lua_setfield(L, -2, "few_keys");
    lua_pushcfunction(L, many_keys);
    lua_setfield(L, -2, "many_keys");
    lua_pushcfunction(L, new_counter);
    lua_setfield(L, -2, "new");
    return 1;
}
