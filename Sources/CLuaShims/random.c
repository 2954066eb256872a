/* math.random and math.randomseed as in Lua; also notes whether the script drew numbers that depend on our seed. */
#include "internal.h"

static int draw(lua_State *L) {
    lk_state *state = state_of(L);
    if (!state->seeded_itself) state->drew = true;
    return state->random(L);
}

/* Without arguments Lua picks a random seed. The script then still counts as not having chosen a seed itself. */
static int seed(lua_State *L) {
    if (!lua_isnone(L, 1)) state_of(L)->seeded_itself = true;
    return state_of(L)->randomseed(L);
}

/* Replaces a function of the table at the top; both have Lua's generator as their upvalue. */
static lua_CFunction replace(lua_State *L, const char *name, lua_CFunction ours) {
    lua_getfield(L, -1, name);
    lua_CFunction original = lua_tocfunction(L, -1);
    lua_getupvalue(L, -1, 1);
    lua_pushcclosure(L, ours, 1);
    lua_setfield(L, -3, name);
    lua_pop(L, 1);
    return original;
}

void lk_open_random(lua_State *L, lua_Integer begin) {
    lua_getglobal(L, LUA_MATHLIBNAME);
    lua_getfield(L, -1, "randomseed");
    lua_pushinteger(L, begin);
    lua_call(L, 1, 0);
    state_of(L)->random = replace(L, "random", draw);
    state_of(L)->randomseed = replace(L, "randomseed", seed);
    lua_pop(L, 1);
}

bool lk_drew_random(lua_State *L) { return state_of(L)->drew; }
