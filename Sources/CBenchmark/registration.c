#include "include/CBenchmark.h"
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct ibv_context *open_named(const char *name) {
    struct ibv_device **list = ibv_get_device_list(NULL);
    struct ibv_context *context = NULL;
    for (int i = 0; list && list[i]; i++)
        if (strcmp(ibv_get_device_name(list[i]), name) == 0) context = ibv_open_device(list[i]);
    if (list) ibv_free_device_list(list);
    return context;
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

long long cbenchmark_registration(const char *device, int count) {
    struct ibv_context *context = open_named(device);
    struct ibv_pd *pd = context ? ibv_alloc_pd(context) : NULL;
    void *memory = aligned_alloc(4096, 4096);
    long long elapsed = -ENODEV;
    if (pd && memory) {
        long long start = now();
        int done = 0;
        for (struct ibv_mr *mr; done < count; done++) {
            mr = ibv_reg_mr(pd, memory, 4096, IBV_ACCESS_LOCAL_WRITE);
            if (!mr || ibv_dereg_mr(mr) != 0) break;
        }
        elapsed = done == count ? (now() - start) / count : -(errno ? errno : EIO);
    }
    free(memory);
    if (pd) ibv_dealloc_pd(pd);
    if (context) ibv_close_device(context);
    return elapsed;
}
