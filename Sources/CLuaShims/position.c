/* The position of the running script, found without allocating: for an allocator that refuses, and for a signal
 * handler. */
#define _GNU_SOURCE
#include "internal.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void note_from(lua_State *L, int level, char *text, size_t size) {
    lua_Debug info;
    text[0] = 0;
    for (; lua_getstack(L, level, &info); level++) {
        lua_getinfo(L, "Sl", &info);
        if (info.currentline <= 0 || info.source[0] == '=') continue;
        snprintf(text, size, "%s:%d: ", info.short_src, info.currentline);
        return;
    }
}

void lk_note_position(lua_State *L, char *text, size_t size) { note_from(L, 0, text, size); }

/* --- C functions that may run for ever ------------------------------------------------------------------------------
 * While one runs, no hook could find the line, and a signal handler must not walk Lua's stack, which may be moving. So
 * these functions note their caller's position before they begin. */

enum { FIND, MATCH, GSUB, GMATCH, GMATCH_NEXT, PCALL, XPCALL };
_Static_assert(XPCALL < LK_NOTING, "each has its own slot in the state");

static void forget_call(lua_State *L) { state_of(L)->noted_call = NULL; }

static void note_call(lua_State *L) {
    lk_state *state = state_of(L);
    lua_Debug here;
    forget_call(L);
    if (!lua_getstack(L, 0, &here)) return;
    note_from(L, 1, state->noted, sizeof state->noted);
    /* The signal handler runs in this thread: the fence makes the text complete before the handler can see
     * `noted_call`. */
    atomic_signal_fence(memory_order_release);
    state->noted_call = here.i_ci;
}

/* With fewer than two quantifiers, a match takes at most the square of the text's length. Noting the position would
 * take as long as such a search of a short text. */
static bool is_quick(lua_State *L) {
    enum { LONG = 4096 };
    if (lua_type(L, 1) != LUA_TSTRING || lua_type(L, 2) != LUA_TSTRING || lua_rawlen(L, 1) > LONG) return false;
    size_t length, quantifiers = 0;
    const char *pattern = lua_tolstring(L, 2, &length);
    for (size_t i = 0; i < length; i++) {
        char c = pattern[i];
        quantifiers += c == '*' || c == '+' || c == '-' || c == '?';
    }
    return quantifiers < 2;
}

/* Calls Lua's function within our frame, so that its error messages name our function ("bad argument #1 to 'find'"). */
static int noting(lua_State *L, int which) {
    if (which == GMATCH_NEXT || !is_quick(L)) note_call(L);
    int results = state_of(L)->originals[which](L);
    forget_call(L);
    return results;
}
static int find(lua_State *L) { return noting(L, FIND); }
static int match(lua_State *L) { return noting(L, MATCH); }
static int gsub(lua_State *L) { return noting(L, GSUB); }
static int next_match(lua_State *L) { return noting(L, GMATCH_NEXT); }

/* Wraps Lua's iterator: our function, with the upvalues of Lua's. */
static int gmatch(lua_State *L) {
    state_of(L)->originals[GMATCH](L);
    int iterator = lua_gettop(L), values = 0;
    state_of(L)->originals[GMATCH_NEXT] = lua_tocfunction(L, iterator);
    while (lua_getupvalue(L, iterator, values + 1)) values++;
    lua_pushcclosure(L, next_match, values);
    return 1;
}

/* A function that raised an error did not clear its note; pcall and xpcall do. */
static int forgetting_pcall(lua_State *L) {
    int results = state_of(L)->originals[PCALL](L);
    forget_call(L);
    return results;
}
static int forgetting_xpcall(lua_State *L) {
    int results = state_of(L)->originals[XPCALL](L);
    forget_call(L);
    return results;
}

static void replace(lua_State *L, const char *name, int which, lua_CFunction ours) {
    lua_getfield(L, -1, name);
    state_of(L)->originals[which] = lua_tocfunction(L, -1);
    lua_pop(L, 1);
    lua_pushcfunction(L, ours);
    lua_setfield(L, -2, name);
}

void lk_note_calls(lua_State *L) {
    lua_getglobal(L, LUA_STRLIBNAME);
    replace(L, "find", FIND, find);
    replace(L, "match", MATCH, match);
    replace(L, "gsub", GSUB, gsub);
    replace(L, "gmatch", GMATCH, gmatch);
    lua_pop(L, 1);
    lua_pushglobaltable(L);
    replace(L, "pcall", PCALL, forgetting_pcall);
    replace(L, "xpcall", XPCALL, forgetting_xpcall);
    lua_pop(L, 1);
}

/* --- The signal ------------------------------------------------------------------------------------------------------- */

/* 0: no request; 1: lk_ask_position waits; 2: answered. */
static volatile sig_atomic_t asked;
static volatile sig_atomic_t alarms;
static int told = -1;
static char position[LK_POSITION];

void lk_tell_position(int fd) {
    told = fd;
    alarms = 0;
}

/* Writes a line of JSON to the descriptor, a pipe. Nothing else writes to it meanwhile: the only thread that does is
 * inside a function of Lua's library. */
static void tell(void) {
    static const char begin[] = "{\"position\":\"", end[] = "\"}\n";
    char line[LK_POSITION + sizeof begin + sizeof end];
    size_t length = sizeof begin - 1;
    memcpy(line, begin, length);
    for (char *c = position; *c; c++) line[length++] = *c == '"' || *c == '\\' || (unsigned char)*c < ' ' ? '?' : *c;
    memcpy(line + length, end, sizeof end - 1);
    if (write(told, line, length + sizeof end - 1) < 0) return;
}

void lk_position_signal(const lk_state *state) {
    lua_Debug here;
    if (!asked && alarms++ == 0) return;
    position[0] = 0;
    /* lua_getstack for level 0 reads one pointer, the running call. Its line is known only where it is the noted call.
       */
    const void *call = state->noted_call;
    if (call && lua_getstack(state->running, 0, &here) && here.i_ci == call) memcpy(position, state->noted, sizeof position);
    if (asked) asked = 2;
    else if (told >= 0 && position[0]) tell();
}

/* Waits up to 1 s for the signal handler's answer. */
void lk_ask_position(pthread_t thread, char *text) {
    asked = 1;
    pthread_kill(thread, SIGALRM);
    for (int tries = 0; asked != 2 && tries < 1000; tries++) usleep(1000);
    memcpy(text, position, asked == 2 ? sizeof position : 1);
    if (asked != 2) text[0] = 0;
    asked = 0;
}
