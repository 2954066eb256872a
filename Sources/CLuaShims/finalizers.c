/* Finalizers of a script's own objects. Lua runs them during any collection, perhaps long after the case that made the
 * object; so the era in which an object got its finalizer is stored. */
#include "internal.h"

static const char eras_key = 0;

void lk_begin_era(lua_State *L, int64_t era) { state_of(L)->era = era; }

/* Runs in place of a script's finalizer, which is upvalue 1. Its error goes to Lua's collector, which at once issues a
 * warning. No other finalizer runs meanwhile. */
static int finalize(lua_State *L) {
    lk_state *state = state_of(L);
    if (state->finalizers > 0) state->finalizers--;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &eras_key);
    lua_pushvalue(L, 1);
    lua_Integer era = lua_rawget(L, -2) == LUA_TNUMBER ? lua_tointeger(L, -1) : LK_NO_ERA;
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    state->finalized_era = era;
    lua_call(L, 1, 0);
    state->finalized_era = LK_NO_ERA;
    return 0;
}

static int set_metatable(lua_State *L) {
    lk_state *state = state_of(L);
    int results = state->setmetatable(L); /* leaves only the object on the stack */
    if (!lua_getmetatable(L, 1)) return results;
    lua_pushliteral(L, "__gc");
    if (lua_rawget(L, 2) != LUA_TFUNCTION) {
        lua_settop(L, 1);
        return results;
    }
    state->finalizers++;
    state->finalizers_of_period++;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &eras_key);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, state->era);
    lua_rawset(L, 4);
    lua_settop(L, 3);
    if (lua_tocfunction(L, 3) != finalize) {
        lua_pushcclosure(L, finalize, 1);
        lua_pushliteral(L, "__gc");
        lua_insert(L, 3);
        lua_rawset(L, 2);
    }
    lua_settop(L, 1);
    return results;
}

void lk_open_finalizers(lua_State *L) {
    state_of(L)->finalized_era = LK_NO_ERA;
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &eras_key);
    lua_getglobal(L, "setmetatable");
    state_of(L)->setmetatable = lua_tocfunction(L, -1);
    lua_pop(L, 1);
    lua_pushcfunction(L, set_metatable);
    lua_setglobal(L, "setmetatable");
}
