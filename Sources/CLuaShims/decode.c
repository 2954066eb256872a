/* Checks and decodes arguments by the function's description, from which help and editor stubs are made too. */
#include "refuse.h"
#include <string.h>

/* Compares the first letter before the call: most names differ there. */
static inline bool same(const char *one, const char *other) { return *one == *other && strcmp(one, other) == 0; }

/* Whether a string contains a zero byte, at which C strings end; no valid name does. */
static bool has_zero(lua_State *L, int index) { return strlen(lua_tostring(L, index)) != lua_rawlen(L, index); }

static void check_range(lua_State *L, const lk_function *f, const arg_path *at, const lk_type *type, lua_Integer value) {
    if (value >= type->minimum && value <= type->maximum) return;
    lua_pushfstring(L, "must be %I to %I, not %I", (LUAI_UACINT)type->minimum, (LUAI_UACINT)type->maximum,
                    (LUAI_UACINT)value);
    lk_refuse(L, f, at);
}

static void push_names(lua_State *L, const lk_type *type) { /* [-0, +1, m] */
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    for (int i = 0; i < type->count; i++) {
        if (i > 0) luaL_addstring(&buffer, ", ");
        luaL_addstring(&buffer, type->names[i]);
    }
    luaL_pushresult(&buffer);
}

static int64_t decode_name(lua_State *L, const lk_function *f, const arg_path *at, const lk_type *type, int index) {
    if (lua_type(L, index) != LUA_TSTRING) lk_wrong_type(L, f, at, index, "a name");
    const char *word = lua_tostring(L, index);
    for (int i = 0; i < type->count && !has_zero(L, index); i++)
        if (same(word, type->names[i])) return type->values[i];
    push_names(L, type);
    lua_pushfstring(L, "must be one of %s, not '%s'", lua_tostring(L, -1), word);
    lk_near_name(L, type, word);
    lk_refuse(L, f, at);
    return 0;
}

static bool has_name(const lk_type *type, const char *word) {
    for (int i = 0; i < type->count; i++)
        if (same(word, type->kind == LK_RECORD ? type->fields[i].name : type->names[i])) return true;
    return false;
}

/* A list's keys must be exactly 1 to `count`. Refuses others, which would be dropped otherwise. */
static void check_sequence(lua_State *L, const lk_function *f, const arg_path *at, const lk_type *type, int index,
                           lua_Integer count) {
    lua_Integer entries = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_isinteger(L, -2)) {
            entries++;
            continue;
        }
        if (lua_type(L, -2) != LUA_TSTRING) {
            lua_pushfstring(L, "must be a list, and has a key of type %s", luaL_typename(L, -2));
            lk_refuse(L, f, at);
        }
        const char *key = lua_tostring(L, -2);
        if (type->kind == LK_FLAGS && has_name(type, key))
            lua_pushfstring(L, "must be a list of names, and has the key '%s'; write { \"%s\" }", key, key);
        else if (type->kind == LK_LIST && type->element->kind == LK_RECORD && has_name(type->element, key))
            lua_pushfstring(L, "must be a list, and has the key '%s'; write { { %s = ... } }, a table for each element", key,
                            key);
        else lua_pushfstring(L, "must be a list, and has the key '%s'", key);
        lk_refuse(L, f, at);
    }
    if (entries == count) return;
    lua_Integer hole = 1;
    while (lua_rawgeti(L, index, hole) != LUA_TNIL) lua_pop(L, 1), hole++;
    lua_pushfstring(L, "must be a list without holes, and has nothing at [%I] but %I elements in all", (LUAI_UACINT)hole,
                    (LUAI_UACINT)entries);
    lk_refuse(L, f, at);
}

static void decode_flags(lua_State *L, const lk_function *f, const arg_path *at, const lk_type *type, int index,
                         lk_value *out) {
    if (lua_type(L, index) != LUA_TTABLE) lk_wrong_type(L, f, at, index, "a list of names");
    lua_Integer count = (lua_Integer)lua_rawlen(L, index);
    check_sequence(L, f, at, type, index, count);
    out->integer = 0;
    for (lua_Integer i = 1; i <= count; i++) {
        arg_path element = { at, NULL, i };
        lua_rawgeti(L, index, i);
        out->integer |= decode_name(L, f, &element, type, lua_gettop(L));
        lua_pop(L, 1);
    }
}

/* Items in the trampoline's own frame, freed with it even by an error. Enough for most calls. */
typedef struct room {
    lk_value values[24];
    size_t used;
} room;

static void decode(lua_State *L, const lk_function *f, room *room, const arg_path *at, const lk_type *type, int index,
                   lk_value *out);

/* Where the frame has no room, items live in a userdata that stays on the stack. */
static lk_value *items(lua_State *L, room *room, size_t count) {
    luaL_checkstack(L, 12, "too many nested arguments");
    if (count <= sizeof room->values / sizeof *room->values - room->used) {
        room->used += count;
        return room->values + room->used - count;
    }
    return lua_newuserdatauv(L, (count ? count : 1) * sizeof(lk_value), 0);
}

static void decode_list(lua_State *L, const lk_function *f, room *room, const arg_path *at, const lk_type *type, int index,
                        lk_value *out) {
    if (lua_type(L, index) != LUA_TTABLE) lk_wrong_type(L, f, at, index, "a list");
    lua_Integer count = (lua_Integer)lua_rawlen(L, index);
    check_sequence(L, f, at, type, index, count);
    if (count < type->minimum || count > type->maximum) {
        lua_pushfstring(L, "must have %I to %I elements, not %I", (LUAI_UACINT)type->minimum,
                        (LUAI_UACINT)type->maximum, (LUAI_UACINT)count);
        lk_refuse(L, f, at);
    }
    lk_value *list = items(L, room, (size_t)count);
    for (lua_Integer i = 1; i <= count; i++) {
        arg_path element = { at, NULL, i };
        lua_rawgeti(L, index, i);
        decode(L, f, room, &element, type->element, lua_gettop(L), &list[i - 1]);
        /* Data that the item points to stays on the stack: a finalizer may remove it from the list meanwhile. */
        if (type->element->kind <= LK_BOOLEAN || type->element->kind == LK_ENUM || type->element->kind == LK_FLAGS)
            lua_pop(L, 1);
        else luaL_checkstack(L, 12, "too many nested arguments");
    }
    out->pointer = list;
    out->count = (size_t)count;
}

static const lk_field *find_field(const lk_type *type, const char *name) {
    for (int i = 0; i < type->count; i++)
        if (same(type->fields[i].name, name)) return &type->fields[i];
    return NULL;
}

/* Leaves the table's values on the stack, each one's index in its field's `count` (0 for none); refuses other keys. */
static void spread(lua_State *L, const lk_function *f, const arg_path *at, const lk_type *type, int index, lk_value *fields) {
    for (int i = 0; i < type->count; i++) fields[i].count = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_insert(L, -2)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            if (lua_isinteger(L, -2))
                lua_pushfstring(L, "has an element [%I] without a name; its keys are names, '%s' for one",
                                (LUAI_UACINT)lua_tointeger(L, -2), type->count ? type->fields[0].name : "");
            else lua_pushfstring(L, "has a key of type %s; its keys are names", luaL_typename(L, -2));
            lk_refuse(L, f, at);
        }
        const char *key = lua_tostring(L, -2);
        const lk_field *field = has_zero(L, -2) ? NULL : find_field(type, key);
        if (!field) {
            lk_push_path(L, at);
            for (int i = 0; i < type->count; i++)
                if (type->fields[i].was && same(type->fields[i].was, key))
                    lk_raise(L, "argument", f->name, "unknown key '%s' in '%s': since version 0.2 it is called '%s'", key,
                             lua_tostring(L, -1), type->fields[i].name);
            lua_pushfstring(L, "unknown key '%s' in '%s'", key, lua_tostring(L, -1));
            lk_near_name(L, type, key);
            lk_raise(L, "argument", f->name, "%s", lua_tostring(L, -1));
        }
        fields[field - type->fields].count = (size_t)lua_gettop(L) - 1;
    }
}

static void decode_field(lua_State *L, const lk_function *f, room *room, const arg_path *at, const lk_field *field, int index,
                         lk_value *out) {
    if (lua_isnoneornil(L, index) && field->optional) {
        *out = field->fallback;
        return;
    }
    decode(L, f, room, at, &field->type, index, out);
}

static void decode_record(lua_State *L, const lk_function *f, room *room, const arg_path *at, const lk_type *type,
                          int index, lk_value *out) {
    if (lua_type(L, index) != LUA_TTABLE) lk_wrong_type(L, f, at, index, "a table");
    lk_value *fields = items(L, room, (size_t)type->count);
    luaL_checkstack(L, type->count + 12, "too many nested arguments");
    spread(L, f, at, type, index, fields);
    /* an absent field is nil */
    lua_pushnil(L);
    int nothing = lua_gettop(L);
    for (int i = 0; i < type->count; i++) {
        arg_path field = { at, type->fields[i].name, 0 };
        int value = fields[i].count ? (int)fields[i].count : nothing;
        decode_field(L, f, room, &field, &type->fields[i], value, &fields[i]);
    }
    out->pointer = fields;
    out->count = (size_t)type->count;
    out->keys = type->keys;
}

static void check_open(lua_State *L, const lk_function *f, const arg_path *at, const lk_object *object, int index) {
    if (object->open) return;
    lk_push_label(L, index);
    if (object->closed_line > 0)
        lua_pushfstring(L, "is closed (%s, closed at line %d)", lua_tostring(L, -1), object->closed_line);
    else lua_pushfstring(L, "is closed (%s)", lua_tostring(L, -1));
    lk_refuse(L, f, at);
}

static void decode_object(lua_State *L, const lk_function *f, const arg_path *at, const lk_type *type, int index,
                          lk_value *out) {
    lk_object *object = object_at(L, index);
    if (!object || object->class_ != type->object) {
        lua_pushfstring(L, "a %s", type->object->name);
        lk_wrong_type(L, f, at, index, lua_tostring(L, -1));
    }
    check_open(L, f, at, object, index);
    out->pointer = object + 1;
    out->count = (size_t)index;
}

/* Refuses "64k" with the text that is meant; returns for what means none. */
static void refuse_near_size(lua_State *L, const lk_function *f, const arg_path *at, int index) {
    size_t length;
    char near[LK_NEAR_SIZE];
    if (lua_type(L, index) != LUA_TSTRING) return;
    const char *text = lua_tolstring(L, index, &length);
    if (!lk_near_size(text, length, near)) return;
    lua_pushfstring(L, "must be a size, not \"%s\"; did you mean \"%s\"?", text, near);
    lk_refuse(L, f, at);
}

static const char SIZE[] = "a size (an integer, or text such as \"64K\": K, M, G, T)";
static const char TIME[] = "a time (milliseconds as an integer, or text such as \"30s\": ms, s, m, h)";

static void decode(lua_State *L, const lk_function *f, room *room, const arg_path *at, const lk_type *type, int index,
                   lk_value *out) {
    out->present = true;
    int converted = 0;
    switch (type->kind) {
    case LK_INTEGER:
        if (lua_type(L, index) == LUA_TSTRING) /* text that Lua itself would take for a number, too */
            lk_wrong_text(L, f, at, index, "an integer",
                          lua_isnumber(L, index) ? "; tonumber makes a number of text" : "");
        out->integer = lua_tointegerx(L, index, &converted);
        if (!converted) lk_wrong_type(L, f, at, index, "an integer");
        check_range(L, f, at, type, out->integer);
        return;
    case LK_SIZE:
        if (lua_type(L, index) == LUA_TSTRING) {
            size_t length;
            const char *text = lua_tolstring(L, index, &length);
            converted = lk_parse_size(text, length, &out->integer);
        } else if (lua_type(L, index) == LUA_TNUMBER) {
            out->integer = lua_tointegerx(L, index, &converted);
        }
        if (!converted) {
            refuse_near_size(L, f, at, index);
            lk_wrong_text(L, f, at, index, SIZE, "");
            lk_wrong_type(L, f, at, index, SIZE);
        }
        check_range(L, f, at, type, out->integer);
        return;
    case LK_TIME:
        if (lua_type(L, index) == LUA_TSTRING)
            converted = !has_zero(L, index) && lk_parse_time(lua_tostring(L, index), &out->integer);
        else if (lua_type(L, index) == LUA_TNUMBER) out->integer = lua_tointegerx(L, index, &converted);
        if (!converted) {
            lk_wrong_text(L, f, at, index, TIME, "");
            lk_wrong_type(L, f, at, index, TIME);
        }
        check_range(L, f, at, type, out->integer);
        return;
    case LK_NUMBER:
        if (lua_type(L, index) != LUA_TNUMBER) lk_wrong_type(L, f, at, index, "a number");
        out->number = lua_tonumber(L, index);
        return;
    case LK_BOOLEAN:
        if (lua_type(L, index) != LUA_TBOOLEAN) lk_wrong_type(L, f, at, index, "true or false");
        out->integer = lua_toboolean(L, index);
        return;
    case LK_STRING:
        if (lua_type(L, index) != LUA_TSTRING) lk_wrong_type(L, f, at, index, "a string");
        out->pointer = lua_tolstring(L, index, &out->count);
        if ((int64_t)out->count < type->minimum || (int64_t)out->count > type->maximum) {
            lua_pushfstring(L, "must be %I to %I bytes long, not %I", (LUAI_UACINT)type->minimum,
                            (LUAI_UACINT)type->maximum, (LUAI_UACINT)out->count);
            lk_refuse(L, f, at);
        }
        return;
    case LK_ENUM: out->integer = decode_name(L, f, at, type, index); return;
    case LK_FLAGS: decode_flags(L, f, at, type, index, out); return;
    case LK_OBJECT: decode_object(L, f, at, type, index, out); return;
    case LK_RECORD: decode_record(L, f, room, at, type, index, out); return;
    case LK_LIST: decode_list(L, f, room, at, type, index, out); return;
    case LK_ANY: out->count = (size_t)index; return;
    }
}

static int trampoline(lua_State *L);

/* Fast path for integers and objects. False where anything is unusual: the general path then decodes anew and reports
 * errors. */
static inline bool decode_quickly(lua_State *L, const lk_type *type, int index, lk_value *out) {
    if (type->kind == LK_INTEGER) {
        int converted;
        if (lua_type(L, index) != LUA_TNUMBER) return false;
        out->integer = lua_tointegerx(L, index, &converted);
        out->present = true;
        return converted && out->integer >= type->minimum && out->integer <= type->maximum;
    }
    if (type->kind == LK_OBJECT) {
        lk_object *object = object_at(L, index);
        if (!object || object->class_ != type->object || !object->open) return false;
        *out = (lk_value){ .present = true, .pointer = object + 1, .count = (size_t)index };
        return true;
    }
    return false;
}

/* Asks whether the function's effects are permitted; raises where they are refused. */
static void ask(lua_State *L, const lk_function *f, const lk_value *values) {
    lk_state *state = state_of(L);
    bool is_selected = f->selector >= 0 && values[f->selector].integer == f->selected;
    uint32_t missing = (is_selected ? f->selected_effects : f->effects) & ~state->permitted;
    if (!missing || !state->permit) return;
    lk_crossing before = lk_cross(L);
    int answer = state->permit(L, f->name, missing);
    lk_return(L, before);
    if (answer < 0) lk_throw(L);
}

static inline int call_entry(lua_State *L, const lk_function *f, const lk_value *values) {
    lk_state *state = state_of(L);
    if ((f->effects | f->selected_effects) & ~state->permitted) ask(L, f, values);
    lk_crossing before = lk_cross(L);
    int results = f->entry(L, values);
    lk_return(L, before);
    /* A wait that a signal cut short must not look like a complete one. */
    if (state->interrupted) lk_check_interrupt(L);
    return results >= 0 ? results : lk_throw(L);
}

/* For functions of few arguments, all of them valid. Anything else goes to trampoline(), which begins anew. */
static int quick_trampoline(lua_State *L) {
    const lk_function *f = lua_touserdata(L, lua_upvalueindex(1));
    /* First, as it runs finalizers, which may close an object that is an argument. */
    if (!lk_has_room(state_of(L), 0)) lk_check_memory(L);
    lk_value values[4];
    int count = f->count;
    for (int i = 0; i < count; i++)
        if (!decode_quickly(L, &f->parameters[i].type, i + 1, &values[i])) return trampoline(L);
    if (lua_gettop(L) != count) return trampoline(L);
    return call_entry(L, f, values);
}

/* Refuses objects that were closed since they were decoded: decoding allocates, so a finalizer of the script may have
 * run and closed one. Allocates nothing before it refuses. */
static void check_still_open(lua_State *L, const lk_function *f, const arg_path *at, const lk_type *type,
                             const lk_value *value) {
    if (!value->present) return;
    const lk_value *inner = value->pointer;
    if (type->kind == LK_OBJECT) {
        check_open(L, f, at, (const lk_object *)value->pointer - 1, (int)value->count);
    } else if (type->kind == LK_RECORD) {
        for (int i = 0; i < type->count; i++) {
            arg_path field = { at, type->fields[i].name, 0 };
            check_still_open(L, f, &field, &type->fields[i].type, &inner[i]);
        }
    } else if (type->kind == LK_LIST) {
        for (size_t i = 0; i < value->count; i++) {
            arg_path element = { at, NULL, (lua_Integer)i + 1 };
            check_still_open(L, f, &element, type->element, &inner[i]);
        }
    }
}

static int trampoline(lua_State *L) {
    const lk_function *f = lua_touserdata(L, lua_upvalueindex(1));
    lk_value values[LK_PARAMETERS_MAX];
    room room;
    room.used = 0;
    if (!lk_has_room(state_of(L), 0)) lk_check_memory(L);
    int given = lua_gettop(L);
    bool takes_case = f->count && f->parameters[0].type.kind == LK_ANY && !strcmp(f->parameters[0].name, "case");
    if (!takes_case) lk_check_call(L, f);
    /* What stands before the colon is no argument to who writes the call. */
    int most = f->count - (strchr(f->name, ':') != NULL);
    if (given > f->count)
        lk_raise(L, "argument", f->name, "takes %d argument%s, not %d", most, most == 1 ? "" : "s",
                 given - (f->count - most));
    if (takes_case && !lua_istable(L, 1))
        lk_raise(L, "argument", f->name, "it has no case here; call it with a colon, t:%s(...)", strchr(f->name, ':') + 1);
    if (given < f->count) lua_settop(L, f->count);
    for (int i = 0; i < f->count; i++) {
        arg_path argument = { NULL, f->parameters[i].name, 0 };
        decode_field(L, f, &room, &argument, &f->parameters[i], i + 1, &values[i]);
    }
    for (int i = 0; i < f->count; i++) {
        arg_path argument = { NULL, f->parameters[i].name, 0 };
        check_still_open(L, f, &argument, &f->parameters[i].type, &values[i]);
    }
    return call_entry(L, f, values);
}

void lk_push_function(lua_State *L, const lk_function *function) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)function);
    lua_pushcclosure(L, function->count <= 4 ? quick_trampoline : trampoline, 1);
}

/* The description of the function at `index`; NULL where it is none of ours. */
const lk_function *lk_function_at(lua_State *L, int index) {
    lua_CFunction function = lua_tocfunction(L, index);
    if ((function != trampoline && function != quick_trampoline) || !lua_getupvalue(L, index, 1)) return NULL;
    const lk_function *described = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return described;
}
