/* A state for scripts: the safe libraries, strict globals, our require, print and load, and a hook for Ctrl-C. */
#define _GNU_SOURCE
#include "internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lk_ask_for_effects(lua_State *L, lk_permit permit) {
    state_of(L)->permit = permit;
    state_of(L)->permitted = 0;
}
void lk_tell_errors(lua_State *L, lk_raised raised, lk_finalizing finalizing) {
    state_of(L)->raised = raised;
    state_of(L)->finalizing = finalizing;
}
void lk_permit_effects(lua_State *L, uint32_t permitted) { state_of(L)->permitted = permitted; }

/* Tells of a finalizer's error while the state is closed; the error is at the top. No collection can begin any more. */
static void tell_finalizing(lk_state *state) {
    size_t length;
    lk_push_text(state->main, -1);
    const char *text = lua_tolstring(state->main, -1, &length);
    lk_crossing before = lk_cross(state->main);
    if (state->finalizing) state->finalizing(state->main, text, length, state->finalized_era);
    state->finalized_era = LK_NO_ERA;
    lk_return(state->main, before);
    lua_pop(state->main, 1);
}

/* Receives warnings in pieces (lua_WarnFunction). Lua reports an error in a finalizer this way ("error in ", "__gc",
 * ...). Such an error is kept as a value, which is at the top of the stack of the running thread. */
static void warn(void *owner, const char *text, int more) {
    static _Thread_local int continued, finalizer;
    lk_state *state = owner;
    if (!continued && more && strcmp(text, "error in ") == 0) {
        finalizer = 1;
        return;
    }
    if (finalizer == 1 && more && strcmp(text, "__gc") == 0) {
        finalizer = 2;
        return;
    }
    if (finalizer == 2) {
        if (more) return;
        finalizer = 0;
        if (state->closing) tell_finalizing(state);
        else lk_keep_finalizing(state->running);
        return;
    }
    if (finalizer == 1) fputs("peerlab: warning: error in ", stderr), finalizer = 0, continued = 1;
    if (!continued && !more && text[0] == '@') return; /* a control message */
    if (!continued) fputs("peerlab: warning: ", stderr);
    fputs(text, stderr);
    if (!more) fputc('\n', stderr);
    continued = more;
}

static void on_instruction(lua_State *L, lua_Debug *unused) {
    (void)unused;
    lk_check_interrupt(L);
}

void lk_check_interrupt(lua_State *L) {
    switch (state_of(L)->interrupted) {
    case LK_RUNS: return;
    case LK_TIMEOUT: lk_raise(L, "timeout", NULL, "its time is over"); return;
    case LK_OUTPUT: lk_raise(L, "output", NULL, "it printed more than it may"); return;
    default: lk_raise(L, "interrupt", NULL, "interrupted");
    }
}

/* A count hook slows down every instruction, so it is set only on an interrupt. lua_sethook is safe in a signal
 * handler: Lua's own interpreter calls it there. The hook then runs at each instruction, so that a script that catches
 * the error does not go on. */
static void stop(lua_State *L) { lua_sethook(L, on_instruction, LUA_MASKCOUNT, 1); }

void lk_interrupt(lua_State *L, enum lk_stop why) {
    if (!L) return;
    lk_state *state = state_of(L);
    if (state->interrupted == LK_RUNS) state->interrupted = why;
    stop(state->main);
    if (state->running != state->main) stop(state->running);
}

void lk_resume(lua_State *L) {
    state_of(L)->interrupted = LK_RUNS;
    state_of(L)->running = state_of(L)->main;
    lua_sethook(state_of(L)->main, NULL, 0, 0);
}

enum lk_stop lk_interrupted(lua_State *L) { return state_of(L)->interrupted; }
const volatile int *lk_interruption(lua_State *L) { return &state_of(L)->interrupted; }
void *lk_context(lua_State *L) { return state_of(L)->context; }
void *lk_owner(lua_State *L) { return state_of(L)->owner; }

static int undeclared(lua_State *L) {
    if (lua_type(L, 2) != LUA_TSTRING) return 0;
    const char *word = lua_tostring(L, 2), *best = NULL;
    int least = INT_MAX;
    lk_crossing before = lk_cross(L);
    bool is_module = state_of(L)->finder(L, word, strlen(word)) >= 0;
    lk_return(L, before);
    if (is_module)
        return lk_raise(L, "script", NULL, "undeclared variable '%s'; write: local %s = require \"%s\"", word, word, word);
    lua_settop(L, 2);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        int distance = lua_type(L, -2) == LUA_TSTRING ? lk_distance(word, lua_tostring(L, -2)) : INT_MAX;
        if (distance < least) least = distance, best = lua_tostring(L, -2);
    }
    lua_pushfstring(L, "undeclared variable '%s'", word);
    lk_suggest(L, word, best, least);
    return lk_raise(L, "script", NULL, "%s", lua_tostring(L, -1));
}

static int refuse_global(lua_State *L) {
    return lk_raise(L, "script", NULL, "assignment to undeclared variable '%s'; write 'local %s'",
                    luaL_tolstring(L, 2, NULL), luaL_tolstring(L, 2, NULL));
}

static int print(lua_State *L) {
    luaL_Buffer buffer;
    int count = lua_gettop(L);
    luaL_buffinit(L, &buffer);
    for (int i = 1; i <= count; i++) {
        if (i > 1) luaL_addchar(&buffer, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&buffer);
    }
    luaL_pushresult(&buffer);
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    lk_crossing before = lk_cross(L);
    state_of(L)->printer(L, text, length);
    lk_return(L, before);
    return 0;
}

/* load(text [, name [, environment]]): Lua's, for text only. Bytecode could do what no script text can. */
static int load_text(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    const char *name = luaL_optstring(L, 2, "=load");
    int environment = lua_gettop(L) >= 3;
    if (luaL_loadbufferx(L, text, length, name, "t") != LUA_OK) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    if (environment) {
        lua_pushvalue(L, 3);
        if (!lua_setupvalue(L, -2, 1)) lua_pop(L, 1);
    }
    return 1;
}

static int require(lua_State *L) {
    size_t length;
    const char *name = luaL_checklstring(L, 1, &length);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_rawget(L, 2);
    if (lua_type(L, 3) == LUA_TLIGHTUSERDATA)
        return lk_raise(L, "script", "require", "module '%s' requires itself, directly or through another", name);
    if (!lua_isnil(L, 3)) return 1;
    lua_settop(L, 2);
    lk_crossing before = lk_cross(L);
    int found = state_of(L)->finder(L, name, length);
    lk_return(L, before);
    if (found < 0) return lk_throw(L);
    if (found == 0) {
        lua_pushvalue(L, 1);
        lua_rawget(L, 2);
        return 1;
    }
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, L);
    lua_rawset(L, 2); /* marks the module as being loaded */
    lua_pushvalue(L, 1);
    int status = lua_pcall(L, 1, 1, 0);
    if (status != LUA_OK || lua_isnil(L, -1)) {
        lua_pushvalue(L, 1);
        lua_pushnil(L);
        lua_rawset(L, 2);
        if (status != LUA_OK) return lua_error(L);
        return lk_raise(L, "script", "require", "module '%s' returns nothing; a module returns a table", name);
    }
    if (found == 2 && lua_istable(L, -1) && !lua_getmetatable(L, -1)) {
        char what[128];
        snprintf(what, sizeof what, "module %s", name);
        lk_seal(L, what, NULL);
    }
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, 2);
    return 1;
}

static const char modules_key = 0, find_key = 0;

void lk_set_module(lua_State *L, const char *name) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &modules_key);
    lua_insert(L, -2);
    lua_pushstring(L, name);
    lua_insert(L, -2);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

void lk_get_module(lua_State *L, const char *name) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &modules_key);
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    lua_remove(L, -2);
}

static void remove_field(lua_State *L, const char *name) {
    lua_pushnil(L);
    lua_setfield(L, -2, name);
}

void lk_open_libraries(lua_State *L) {
    static const luaL_Reg libraries[] = {
        { LUA_GNAME, luaopen_base },       { LUA_COLIBNAME, luaopen_coroutine }, { LUA_TABLIBNAME, luaopen_table },
        { LUA_STRLIBNAME, luaopen_string }, { LUA_MATHLIBNAME, luaopen_math },   { LUA_UTF8LIBNAME, luaopen_utf8 },
    };
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
        lua_pop(L, 1);
    }
    lua_getglobal(L, LUA_COLIBNAME);
    lk_open_coroutines(L);
    lua_pop(L, 1);
    lua_getglobal(L, LUA_STRLIBNAME);
    remove_field(L, "dump");
    lua_getfield(L, -1, "find");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &find_key);
    lua_pop(L, 1);
    lk_note_calls(L);
    lk_open_finalizers(L);
    lua_pushglobaltable(L);
    remove_field(L, "dofile");
    remove_field(L, "loadfile");
    lua_pushcfunction(L, load_text);
    lua_setfield(L, -2, "load");
    lua_pushcfunction(L, print);
    lua_setfield(L, -2, "print");
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &modules_key);
    lua_pushcclosure(L, require, 1);
    lua_setfield(L, -2, "require");
    lua_createtable(L, 0, 3);
    lua_pushcfunction(L, undeclared);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_global);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

static int open_state(lua_State *L) {
    lk_open_errors(L);
    lk_open_libraries(L);
    lk_open_random(L, lua_tointeger(L, 1));
    return 0;
}

lua_State *lk_new_state(void *context, void *owner, lk_finder finder, lk_printer printer, int64_t seed) {
    lk_state *state = calloc(1, sizeof *state);
    if (state) state->limit = SIZE_MAX, state->permitted = UINT32_MAX;
    lua_State *L = state ? lua_newstate(lk_allocate, state) : NULL;
    if (!L) {
        free(state);
        return NULL;
    }
    state->context = context, state->owner = owner;
    state->main = state->running = state->foreign_thread = L;
    state->finder = finder, state->printer = printer;
    *(lk_state **)lua_getextraspace(L) = state;
    lua_setwarnf(L, warn, state);
    lua_pushcfunction(L, open_state);
    lua_pushinteger(L, seed);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        lua_close(L);
        free(state);
        return NULL;
    }
    state->foreign = 1;
    return L;
}

enum lk_stop lk_close_state(lua_State *L) {
    lk_state *state = state_of(L);
    state->closing = true;
    lua_close(L);
    lk_forget_signals(state);
    enum lk_stop interrupted = state->interrupted;
    free(state);
    return interrupted;
}

int lk_load(lua_State *L, const char *text, size_t length, const char *name) {
    int foreign = lk_enter(L);
    int status = luaL_loadbufferx(L, text, length, name, "t");
    state_of(L)->foreign = foreign;
    return status;
}

static int find(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &find_key);
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
}

bool lk_finds(lua_State *L, const char *pattern, size_t pattern_length, const char *text, size_t length) {
    lua_checkstack(L, 8);
    lua_pushcfunction(L, find);
    lua_pushlstring(L, text, length);
    lua_pushlstring(L, pattern, pattern_length);
    int foreign = lk_enter(L);
    bool found = lua_pcall(L, 2, 1, 0) == LUA_OK && lua_toboolean(L, -1);
    state_of(L)->foreign = foreign;
    lua_pop(L, 1);
    return found;
}

bool lk_next(lua_State *L, int index) { return lua_next(L, index) != 0; }

int lk_function_line(lua_State *L, int index) {
    lua_Debug info;
    lua_pushvalue(L, index);
    return lua_getinfo(L, ">S", &info) ? info.linedefined : 0;
}

const char *lk_function_source(lua_State *L, int index) {
    lua_Debug info;
    lua_pushvalue(L, index);
    return lua_getinfo(L, ">S", &info) ? info.source : NULL; /* valid while the function stays on the stack */
}
