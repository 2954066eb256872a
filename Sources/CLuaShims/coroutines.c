/* The coroutine library as in Lua, with two differences: an interrupt finds the running coroutine (a hook belongs to
 * one coroutine), and of several errors the first one is reported. Upvalue 1 of resume and wrap is Lua's own resume. */
#include "internal.h"

/* Function and arguments are on the stack; leaves resume's results. A yield of `coroutine` returns here; the thread L
 * waits in this call, so it cannot yield itself. */
static void call_resume(lua_State *L, lua_State *coroutine) {
    lk_state *state = state_of(L);
    lua_State *before = state->running;
    if (coroutine) state->running = coroutine;
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET); /* raises only for a wrong argument, before any coroutine runs */
    state->running = before;
    state->noted_call = NULL;
    lk_check_interrupt(L);
}

static int resume(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTHREAD);
    lua_State *coroutine = lua_tothread(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    call_resume(L, coroutine);
    return lua_gettop(L);
}

/* Calls Lua's close; function and coroutine are at the top, and its results are left there. The coroutine's
 * to-be-closed variables are closed in the coroutine, so an interrupt has to find that one. close raises for a running
 * coroutine. */
static void call_close(lua_State *L, lua_State *coroutine) {
    lk_state *state = state_of(L);
    lua_State *before = state->running;
    state->running = coroutine;
    int status = lua_pcall(L, 1, LUA_MULTRET, 0);
    state->running = before;
    state->noted_call = NULL;
    lk_check_interrupt(L);
    if (status != LUA_OK) lua_error(L);
}

/* Upvalue 1 is Lua's close. */
static int close_coroutine(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTHREAD);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    call_close(L, lua_tothread(L, 2));
    return lua_gettop(L);
}

/* Upvalue 2 is the coroutine, 3 Lua's close. */
static int wrapped(lua_State *L) {
    lua_State *coroutine = lua_tothread(L, lua_upvalueindex(2));
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 2);
    call_resume(L, coroutine);
    if (lua_toboolean(L, 1)) return lua_gettop(L) - 1;
    if (lua_status(coroutine) > LUA_YIELD) { /* it failed: close what it left open */
        lua_pushvalue(L, lua_upvalueindex(3));
        lua_pushvalue(L, lua_upvalueindex(2));
        int top = lua_gettop(L) - 2;
        call_close(L, coroutine);
        lua_settop(L, top);
    }
    if (lua_type(L, 2) == LUA_TSTRING) { /* as Lua does, the caller's position is put before a string */
        luaL_where(L, 1);
        lua_insert(L, 2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

/* The function that each coroutine runs. It calls the script's function, so that errors raised while an error closes
 * variables are kept beside that error. At the bottom of the stack are the list of errors and the handler that fills
 * it. */
static int body_end(lua_State *L, int status, lua_KContext unused) {
    (void)unused;
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 2;
    return lk_raise_first(L, 1);
}

static int body(lua_State *L) {
    luaL_checkstack(L, 6, NULL);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lk_push_listing(L);
    lua_insert(L, 1);
    lua_insert(L, 2);
    return body_end(L, lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 2, 0, body_end), 0);
}

/* A coroutine of the function at 1. [-0, +1, m] */
static lua_State *new_coroutine(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *coroutine = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, body, 1);
    lua_xmove(L, coroutine, 1);
    return coroutine;
}

static int create(lua_State *L) {
    new_coroutine(L);
    return 1;
}

static int wrap(lua_State *L) {
    new_coroutine(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, -2);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushcclosure(L, wrapped, 3);
    return 1;
}

void lk_open_coroutines(lua_State *L) {
    lua_getfield(L, -1, "resume");
    lua_getfield(L, -2, "close");
    lua_pushvalue(L, -1);
    lua_pushcclosure(L, close_coroutine, 1);
    lua_setfield(L, -4, "close");
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, resume, 1);
    lua_setfield(L, -4, "resume");
    lua_pushcclosure(L, wrap, 2);
    lua_setfield(L, -2, "wrap");
    lua_pushcfunction(L, create);
    lua_setfield(L, -2, "create");
}
