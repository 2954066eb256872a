/* How many bytes of this process's heap are in use, for tests that look for leaks. */
#pragma once
#include <stddef.h>

size_t heap_bytes(void);
