/* Userdata with a payload of Swift's: closed once, by :close(), <close> or the collector, whichever comes first. */
#include "internal.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

void *lk_new_object(lua_State *L, const lk_class *class_, size_t size, int parent, const char *label, size_t length) {
    lk_object *object = lua_newuserdatauv(L, sizeof *object + size, 2 + LK_KEPT_MAX);
    if (parent) {
        lua_pushvalue(L, parent);
        lua_setiuservalue(L, -2, 1);
    }
    if (label) lua_pushlstring(L, label, length);
    else lua_pushinteger(L, (lua_Integer)length);
    lua_setiuservalue(L, -2, 2);
    object->class_ = class_;
    object->open = 1;
    object->closed_line = state_of(L)->period;
    object->held = 0;
    state_of(L)->open_objects++;
    state_of(L)->open_of_period++;
    /* From here on the collector may finalize it, so the caller must fill the payload before it allocates again. */
    lua_rawgetp(L, LUA_REGISTRYINDEX, class_);
    lua_setmetatable(L, -2);
    return object + 1;
}

void lk_keep(lua_State *L, int slot, int index) {
    lua_pushvalue(L, index);
    lua_setiuservalue(L, -2, 3 + slot);
}

void lk_hold_until_closed(lua_State *L, size_t bytes) {
    lk_object *object = lua_touserdata(L, -1);
    object->held += bytes;
}

void lk_push_label(lua_State *L, int index) {
    if (lua_getiuservalue(L, index, 2) != LUA_TNUMBER) return;
    char text[20];
    snprintf(text, sizeof text, "0x%llx", (unsigned long long)lua_tointeger(L, -1));
    lua_pop(L, 1);
    lua_pushstring(L, text);
}

/* Upvalue 1 of the metamethods: the class. */
static lk_object *own(lua_State *L) {
    const lk_class *class_ = lua_touserdata(L, lua_upvalueindex(1));
    lk_object *object = object_at(L, 1);
    if (!object || object->class_ != class_)
        lk_raise(L, "argument", "close", "must be called on a %s (write obj:close())", class_->name);
    return object;
}

static int current_line(lua_State *L) {
    lua_Debug info;
    return lua_getstack(L, 1, &info) && lua_getinfo(L, "l", &info) ? info.currentline : 0;
}

/* Closes the object at 1; false where that failed, with the error table at the top. */
static bool close_own(lua_State *L) {
    lk_object *object = own(L);
    if (!object->open) return true;
    /* Pushing an error allocates, and so may run a finalizer that closes this object again. */
    object->open = 0;
    lk_crossing before = lk_cross(L);
    enum lk_closing result = object->class_->close(L, object + 1, false);
    lk_return(L, before);
    if (result == LK_STILL_OPEN) {
        object->open = 1;
    } else {
        lk_count_closed(L, object);
        object->closed_line = current_line(L);
        object->class_->destroy(object + 1);
    }
    return result == LK_CLOSED;
}

static int close_object(lua_State *L) { return close_own(L) ? 0 : lk_throw(L); }

/* __close. Argument 2 is the error that is propagating, or nil; where there is one, it is raised further, and an error
 * of closing is kept beside it. */
static int leave_object(lua_State *L) {
    bool is_failing = !lua_isnoneornil(L, 2);
    if (close_own(L)) return 0;
    if (!is_failing) return lk_throw(L);
    lk_keep_closing(L);
    return 0;
}

static int collect_object(lua_State *L) {
    lk_object *object = own(L);
    if (!object->open) return 0;
    object->open = 0;
    lk_crossing before = lk_cross(L);
    object->class_->close(L, object + 1, true);
    lk_return(L, before);
    lk_count_closed(L, object);
    object->closed_line = 0;
    object->class_->destroy(object + 1);
    return 0;
}

static int object_text(lua_State *L) {
    lk_object *object = own(L);
    lk_push_label(L, 1);
    lua_pushfstring(L, "%s %s%s", object->class_->name, lua_tostring(L, -1), object->open ? "" : " (closed)");
    return 1;
}

static int no_member(lua_State *L, const char *what, const lk_renamed *renamed) {
    if (lua_type(L, 2) != LUA_TSTRING)
        return lk_raise(L, "argument", NULL, "%s has no member %s", what, luaL_tolstring(L, 2, NULL));
    const char *word = lua_tostring(L, 2);
    for (; renamed && renamed->was; renamed++)
        if (strcmp(word, renamed->was) == 0)
            return lk_raise(L, "argument", NULL, "%s has no '%s': since version 0.2 it is called '%s'", what, word,
                            renamed->name);
    return 0;
}

/* __index of a sealed table: upvalue 1 names it, upvalue 2 is its renamed members. */
static int unknown_member(lua_State *L) {
    const char *what = lua_tostring(L, lua_upvalueindex(1));
    no_member(L, what, lua_touserdata(L, lua_upvalueindex(2)));
    const char *word = lua_tostring(L, 2), *best = NULL;
    int least = INT_MAX;
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) continue;
        int distance = lk_distance(word, lua_tostring(L, -2));
        if (distance < least) least = distance, best = lua_tostring(L, -2);
    }
    lua_pushfstring(L, "%s has no '%s'", what, word);
    lk_suggest(L, word, best, least);
    return lk_raise(L, "argument", NULL, "%s", lua_tostring(L, -1));
}

static int refuse_write(lua_State *L) {
    return lk_raise(L, "argument", NULL, "%s cannot be changed", lua_tostring(L, lua_upvalueindex(1)));
}

static void set_closure(lua_State *L, const char *name, lua_CFunction function) { /* upvalue at -1, table at -2 */
    lua_pushvalue(L, -1);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, -3, name);
}

void lk_seal(lua_State *L, const char *what, const lk_renamed *renamed) {
    lua_createtable(L, 0, 3);
    lua_pushstring(L, what);
    lua_pushlightuserdata(L, (void *)(uintptr_t)renamed);
    lua_pushcclosure(L, unknown_member, 2);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, what);
    set_closure(L, "__newindex", refuse_write);
    lua_pop(L, 1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

void lk_register_class(lua_State *L, lk_class *class_) {
    lua_createtable(L, 0, 6); /* methods, metatable */
    lua_pushlightuserdata(L, class_);
    set_closure(L, "__close", leave_object);
    set_closure(L, "__gc", collect_object);
    set_closure(L, "__tostring", object_text);
    lua_pushcclosure(L, close_object, 1);
    lua_setfield(L, -3, "close");
    lua_pushstring(L, class_->name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_insert(L, -2);
    lk_seal(L, class_->name, class_->renamed);
    lua_setfield(L, -2, "__index");
    lua_rawsetp(L, LUA_REGISTRYINDEX, class_);
}

/* __index of a table that a function returned; upvalue 1 is its kind. */
static int record_member(lua_State *L) {
    const lk_record *record = lua_touserdata(L, lua_upvalueindex(1));
    no_member(L, record->name, record->renamed);
    const char *word = lua_tostring(L, 2), *best = NULL;
    int least = INT_MAX;
    for (int i = 0; i < record->count; i++) {
        int distance = lk_distance(word, record->fields[i]);
        if (distance < least) least = distance, best = record->fields[i];
    }
    if (best && strcmp(word, best) == 0) return 0;
    lua_pushfstring(L, "%s has no '%s'", record->name, word);
    lk_suggest(L, word, best, least);
    return lk_raise(L, "argument", NULL, "%s", lua_tostring(L, -1));
}

void lk_register_record(lua_State *L, const lk_record *record) {
    luaL_newmetatable(L, record->name);
    lua_pushlightuserdata(L, (void *)(uintptr_t)record);
    lua_pushcclosure(L, record_member, 1);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

bool lk_set_record(lua_State *L, const char *name) {
    if (luaL_getmetatable(L, name) == LUA_TNIL) {
        lua_pop(L, 1);
        return false;
    }
    lua_setmetatable(L, -2);
    return true;
}

const char *lk_described(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_checkstack(L, 4);
    const lk_function *function = lk_function_at(L, index);
    if (function) return function->name;
    if (lua_type(L, index) == LUA_TUSERDATA) {
        lk_object *object = object_at(L, index);
        return object ? object->class_->name : NULL;
    }
    if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index)) return NULL;
    lua_pushliteral(L, "__index");
    lua_rawget(L, -2);
    const char *name = NULL;
    if (lua_tocfunction(L, -1) == record_member && lua_getupvalue(L, -1, 1)) {
        name = ((const lk_record *)lua_touserdata(L, -1))->name;
        lua_pop(L, 1);
    }
    lua_pop(L, 2);
    return name;
}
