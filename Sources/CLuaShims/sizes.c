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

bool lk_near_size(const char *text, size_t length, char *near) {
    int64_t ignored;
    size_t digits = 0;
    while (digits < length && text[digits] >= '0' && text[digits] <= '9') digits++;
    size_t unit = digits;
    while (unit < length && text[unit] == ' ') unit++;
    if (digits == 0 || digits + 2 > LK_NEAR_SIZE || unit == length || lk_parse_size(text, length, &ignored)) return false;
    memcpy(near, text, digits);
    near[digits] = text[unit] >= 'a' && text[unit] <= 'z' ? (char)(text[unit] - 'a' + 'A') : text[unit];
    near[digits + 1] = 0;
    /* What some write behind the letter. */
    static const char *const rests[] = { "", "b", "B", "i", "ib", "iB" };
    for (size_t i = 0; i < sizeof rests / sizeof *rests; i++) {
        size_t rest = strlen(rests[i]);
        if (length - unit - 1 == rest && memcmp(text + unit + 1, rests[i], rest) == 0)
            return lk_parse_size(near, digits + 1, &ignored);
    }
    return false;
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
