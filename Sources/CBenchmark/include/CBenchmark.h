/* What a careful C programmer writes by hand: the rivals of our typed bindings. */
#pragma once
#include <lua.h>

/* Pushes a table with `add(a, b)`, `few_keys { a, b, c }` and `many_keys { a, ... p }`, which add up, and `new()`, whose
 * objects have `:add(a, b)`. */
int cbenchmark_open(lua_State *_Nonnull L);

/* Registers 4 KiB on an RDMA device and gives them back, `count` times: nanoseconds a time, or a negated errno. */
long long cbenchmark_registration(const char *_Nonnull device, int count);
