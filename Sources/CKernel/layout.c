/* The layout of our own uAPI header, checked by every compile. */
#include "include/uapi.h"
#include <stddef.h>

#define STRUCT(name, bytes) _Static_assert(sizeof(struct name) == (bytes), "size of " #name);
#define FIELD(name, field, at) _Static_assert(offsetof(struct name, field) == (at), #name "." #field);
#include "include/uapi_layout.def"
