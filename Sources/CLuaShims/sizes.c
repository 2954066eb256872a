/* Sizes and times as text. */
#include "internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool lk_parse_size(const char *text, size_t length, int64_t *result) {
    static const char units[] = "KMGT";
    size_t at = 0;
    unsigned base = 10;
    uint64_t value = 0;
    if (length > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) base = 16, at = 2;
    size_t first = at;
    for (; at < length; at++) {
        char c = text[at];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0')
                       : base == 16 && c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                       : base == 16 && c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10) : 99;
        if (digit == 99) break;
        if (value > ((uint64_t)INT64_MAX - digit) / base) return false;
        value = value * base + digit;
    }
    if (at == first) return false;
    if (at < length) {
        const char *unit = memchr(units, text[at], 4);
        if (!unit) return false;
        for (long shift = unit - units; shift >= 0; shift--) {
            if (value > (uint64_t)INT64_MAX / 1024) return false;
            value *= 1024;
        }
        at++;
        if (length - at == 2 && text[at] == 'i' && text[at + 1] == 'B') at += 2;
    }
    if (at != length) return false;
    *result = (int64_t)value;
    return true;
}

bool lk_parse_time(const char *text, int64_t *milliseconds) {
    static const struct { const char *name; double milliseconds; } units[] = {
        { "ms", 1 }, { "s", 1000 }, { "m", 60e3 }, { "h", 3600e3 },
    };
    size_t digits = strspn(text, "0123456789.");
    char *end;
    if (digits == 0) return false;
    double value = strtod(text, &end);
    if (end != text + digits) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(end, units[i].name) != 0) continue;
        double exact = value * units[i].milliseconds;
        if (exact > 3e14) return false;
        *milliseconds = llround(exact);
        return true;
    }
    return false;
}
