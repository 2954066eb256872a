/* Memory of a state: its limit, what counts against it, and when it is collected. */
#include "internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Whether an error raised now would unwind Swift frames. It would not in a finalizer that runs while Swift calls Lua:
 * that has a protected call of its own. */
static bool would_unwind(const lk_state *state) {
    if (!state->foreign) return false;
    lua_Debug now;
    bool runs = lua_getstack(state->foreign_thread, 0, &now);
    return (runs ? (const void *)now.i_ci : NULL) == state->foreign_call;
}

static void note_refusal(lk_state *state, bool by_limit) {
    lk_note_position(state->running, state->refused_at, sizeof state->refused_at);
    state->refused_by_limit = by_limit;
}

/* A refused allocation makes Lua raise an error, by longjmp. Where that would cross Swift frames, the allocation is
 * granted, and lk_check_memory compares with the limit before the next call into Swift. */
void *lk_allocate(void *owner, void *block, size_t old, size_t size) {
    lk_state *state = owner;
    size_t before = block ? old : 0; /* without a block, `old` is a type */
    if (size == 0) {
        free(block);
        state->used -= before;
        return NULL;
    }
    if (size > before && !lk_has_room(state, size - before) && !would_unwind(state)) {
        note_refusal(state, true);
        return NULL;
    }
    void *result = realloc(block, size);
    if (result) {
        state->used += size - before;
    } else if (size > before && would_unwind(state)) {
        fputs("peerlab: out of memory\n", stderr);
        errno = ENOMEM;
        abort();
    } else if (size > before) {
        note_refusal(state, false);
    }
    return result;
}

void lk_limit_memory(lua_State *L, size_t bytes) { state_of(L)->limit = bytes; }

bool lk_hold(lua_State *L, size_t bytes) {
    lk_state *state = state_of(L);
    /* A collection may close unreferenced objects that hold counted bytes. */
    if (!lk_has_room(state, bytes)) lua_gc(L, LUA_GCCOLLECT);
    if (!lk_has_room(state, bytes)) return false;
    state->held += bytes;
    return true;
}
void lk_release(lua_State *L, size_t bytes) { state_of(L)->held -= bytes; }
size_t lk_memory_limit(lua_State *L) { return state_of(L)->limit; }

void lk_push_lack_of_memory(lua_State *L) {
    size_t limit = state_of(L)->limit;
    if (!state_of(L)->refused_by_limit) {
        lua_pushliteral(L, "not enough memory: the process gets no more (--memory, or the scenario's own limit)");
        return;
    }
    lua_pushfstring(
        L, "not enough memory: the %I %s that the script may have (--memory, or the scenario's own limit) are used up",
        (LUAI_UACINT)(limit >> 20 ? limit >> 20 : limit), limit >> 20 ? "MiB" : "bytes");
}

int lk_check_memory(lua_State *L) {
    lk_state *state = state_of(L);
    lua_gc(L, LUA_GCCOLLECT);
    if (lk_has_room(state, 0)) return 0;
    state->refused_by_limit = true;
    lk_push_lack_of_memory(L);
    return lk_raise(L, "memory", NULL, "%s", lua_tostring(L, -1));
}

/* Bytes of Lua memory. A collection takes time proportional to all live objects (10,000 cases are 10,000 functions), so
 * a larger state is collected only where the period made new objects. */
enum { SMALL = 1 << 20 };

void lk_collect(lua_State *L) {
    lk_state *state = state_of(L);
    bool small = state->used <= SMALL;
    bool has_new = state->open_of_period > 0 || state->finalizers_of_period > 0;
    if (has_new || (small && state->open_objects + state->finalizers > 0)) {
        lua_gc(L, LUA_GCCOLLECT);
        if (small) lua_gc(L, LUA_GCCOLLECT); /* finalized objects are freed by the second */
    }
    state->period++;
    state->open_of_period = state->finalizers_of_period = 0;
}
