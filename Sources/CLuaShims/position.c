/* Where a script is, told by what may allocate nothing: an allocator that refuses, and a signal handler. */
#define _GNU_SOURCE
#include "internal.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void lk_note_position(lua_State *L, char *text, size_t size) {
    lua_Debug info;
    text[0] = 0;
    for (int level = 0; lua_getstack(L, level, &info); level++) {
        lua_getinfo(L, "Sl", &info);
        if (info.currentline <= 0 || info.source[0] == '=') continue;
        snprintf(text, size, "%s:%d: ", info.short_src, info.currentline);
        return;
    }
}

/* 0 nobody asks, 1 somebody does, 2 it was answered. */
static volatile sig_atomic_t asked;
static volatile sig_atomic_t alarms;
static int told = -1;
static char place[LK_POSITION];

void lk_tell_position(int fd) {
    told = fd;
    alarms = 0;
}

/* A line of JSON. The descriptor is a pipe of which nobody else writes now: the thread is in a function of Lua's. */
static void tell(void) {
    char line[LK_POSITION + 32];
    for (char *c = place; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ') *c = '?';
    int length = snprintf(line, sizeof line, "{\"position\":\"%s\"}\n", place);
    if (write(told, line, (size_t)length) < 0) return;
}

void lk_position_signal(lua_State *L) {
    lua_Debug info;
    if (!asked && alarms++ == 0) return;
    place[0] = 0;
    /* Only a function of C's can be asked: the hook stops Lua, whose own loop has the line in a register. */
    if (lua_getstack(L, 0, &info) && lua_getinfo(L, "S", &info) && info.what[0] == 'C')
        lk_note_position(L, place, sizeof place);
    if (asked) asked = 2;
    else if (told >= 0 && place[0]) tell();
}

/* A second is plenty for a signal. */
void lk_ask_position(pthread_t thread, char *text) {
    asked = 1;
    pthread_kill(thread, SIGALRM);
    for (int tries = 0; asked != 2 && tries < 1000; tries++) usleep(1000);
    memcpy(text, place, asked == 2 ? sizeof place : 1);
    if (asked != 2) text[0] = 0;
    asked = 0;
}
