#define _GNU_SOURCE
#include "include/uverbs.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <rdma/rdma_user_ioctl.h>
#include <rdma/rdma_user_ioctl_cmds.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* include/uapi/rdma/ib_user_ioctl_cmds.h of 7.3, whose names older headers lack. */
enum { OBJECT_MR = 7, OBJECT_DMAH = 17, DRIVER_MLX5 = 1 };
enum { MR_DESTROY = 1, MR_REG = 5, DMAH_ALLOC = 0, DMAH_FREE = 1 };
enum { ALLOC_HANDLE, ALLOC_CPU, ALLOC_MEMORY_TYPE, ALLOC_PH };
enum {
    REG_HANDLE, REG_PD, REG_DMAH, REG_IOVA, REG_ADDRESS, REG_LENGTH, REG_ACCESS, REG_FD, REG_FD_OFFSET, REG_LKEY, REG_RKEY
};
enum { HAS_IOVA = 1, HAS_ADDRESS = 2, HAS_FD = 4, HAS_FD_OFFSET = 8, HAS_DMAH = 16 };
enum { HAS_CPU = 1, HAS_PH = 2, HAS_MEMORY_TYPE = 4 };

/* struct ib_uverbs_ioctl_hdr, without the array of any length at its end. */
struct header {
    uint16_t length, object_id, method_id, num_attrs;
    uint64_t reserved;
    uint32_t driver_id, reserved2;
};
_Static_assert(sizeof(struct header) == sizeof(struct ib_uverbs_ioctl_hdr), "a request's header");

struct request {
    struct header header;
    struct ib_uverbs_attr attributes[11];
};

static struct request request(uint16_t object, uint16_t method) {
    return (struct request){ .header = { .object_id = object, .method_id = method, .driver_id = DRIVER_MLX5 } };
}

static struct ib_uverbs_attr *add(struct request *request, uint16_t id, uint16_t length, uint64_t data) {
    struct ib_uverbs_attr *attribute = &request->attributes[request->header.num_attrs++];
    *attribute = (struct ib_uverbs_attr){ .attr_id = id, .len = length, .flags = UVERBS_ATTR_F_MANDATORY, .data = data };
    return attribute;
}

static long ask(struct ibv_context *context, struct request *request) {
    request->header.length = (uint16_t)(sizeof request->header + request->header.num_attrs * sizeof *request->attributes);
    return ioctl(context->cmd_fd, RDMA_VERBS_IOCTL, request) < 0 ? -errno : 0;
}

/* A request names the device's driver, and mlx5's alone has handles. */
static int has_handles(struct ibv_context *context) {
    char path[PATH_MAX], driver[PATH_MAX];
    snprintf(path, sizeof path, "%s/device/driver", context->device->ibdev_path);
    ssize_t length = readlink(path, driver, sizeof driver - 1);
    if (length < 0) return 0;
    driver[length] = 0;
    char *name = strrchr(driver, '/');
    return name && strcmp(name, "/mlx5_core") == 0;
}

struct handle {
    struct ibv_context *context;
    uint32_t number;
};

long uverbs_alloc_dmah(struct ibv_context *context, const struct shim_dmah_init_attr *attributes, void **dmah) {
    if (!has_handles(context)) return -EOPNOTSUPP;
    struct handle *handle = malloc(sizeof *handle);
    if (!handle) return -ENOMEM;
    struct request alloc = request(OBJECT_DMAH, DMAH_ALLOC);
    add(&alloc, ALLOC_HANDLE, 0, 0);
    if (attributes->comp_mask & HAS_CPU) add(&alloc, ALLOC_CPU, sizeof attributes->cpu_id, attributes->cpu_id);
    if (attributes->comp_mask & HAS_MEMORY_TYPE)
        add(&alloc, ALLOC_MEMORY_TYPE, 0, 0)->attr_data.enum_data.elem_id = attributes->tph_mem_type;
    if (attributes->comp_mask & HAS_PH) add(&alloc, ALLOC_PH, sizeof attributes->ph, attributes->ph);
    long result = ask(context, &alloc);
    *handle = (struct handle){ context, (uint32_t)alloc.attributes[0].data };
    if (result < 0) free(handle);
    else *dmah = handle;
    return result;
}

long uverbs_dealloc_dmah(void *dmah) {
    struct handle *handle = dmah;
    struct request end = request(OBJECT_DMAH, DMAH_FREE);
    add(&end, 0, 0, handle->number);
    long result = ask(handle->context, &end);
    if (result == 0) free(handle);
    return result;
}

/* Regions registered here, by which uverbs_dereg_mr tells them from a provider's. */
struct region {
    struct ibv_mr mr;
    struct region *next;
};
static struct region *regions;
static pthread_mutex_t regions_lock = PTHREAD_MUTEX_INITIALIZER;

static void keep(struct region *region) {
    pthread_mutex_lock(&regions_lock);
    region->next = regions;
    regions = region;
    pthread_mutex_unlock(&regions_lock);
}

long uverbs_reg_mr(struct ibv_pd *pd, const struct shim_mr_init_attr *a, struct ibv_mr **mr) {
    if (!has_handles(pd->context)) return -EOPNOTSUPP;
    struct region *region = calloc(1, sizeof *region);
    if (!region) return -ENOMEM;
    uint64_t address = (uintptr_t)a->addr, iova = a->comp_mask & HAS_IOVA ? a->iova : address;
    struct request reg = request(OBJECT_MR, MR_REG);
    add(&reg, REG_HANDLE, 0, 0);
    add(&reg, REG_PD, 0, pd->handle);
    if (a->comp_mask & HAS_DMAH) add(&reg, REG_DMAH, 0, ((struct handle *)a->dmah)->number);
    add(&reg, REG_IOVA, sizeof iova, iova);
    if (a->comp_mask & HAS_ADDRESS) add(&reg, REG_ADDRESS, sizeof address, address);
    add(&reg, REG_LENGTH, sizeof a->length, a->length);
    add(&reg, REG_ACCESS, sizeof(uint32_t), (uint32_t)a->access);
    if (a->comp_mask & HAS_FD) add(&reg, REG_FD, 0, (uint64_t)(int64_t)a->fd);
    if (a->comp_mask & HAS_FD_OFFSET) add(&reg, REG_FD_OFFSET, sizeof a->fd_offset, a->fd_offset);
    add(&reg, REG_LKEY, sizeof region->mr.lkey, (uintptr_t)&region->mr.lkey);
    add(&reg, REG_RKEY, sizeof region->mr.rkey, (uintptr_t)&region->mr.rkey);
    long result = ask(pd->context, &reg);
    if (result < 0) {
        free(region);
        return result;
    }
    region->mr.context = pd->context;
    region->mr.pd = pd;
    region->mr.addr = a->addr;
    region->mr.length = (size_t)a->length;
    region->mr.handle = (uint32_t)reg.attributes[0].data;
    keep(region);
    *mr = &region->mr;
    return 0;
}

long uverbs_dereg_mr(struct ibv_mr *mr) {
    long result = -ENOENT;
    pthread_mutex_lock(&regions_lock);
    struct region **place = &regions;
    while (*place && &(*place)->mr != mr) place = &(*place)->next;
    struct region *region = *place;
    if (region) {
        struct request end = request(OBJECT_MR, MR_DESTROY);
        add(&end, 0, 0, mr->handle);
        result = ask(mr->context, &end);
        if (result == 0) {
            *place = region->next;
            free(region);
        }
    }
    pthread_mutex_unlock(&regions_lock);
    return result;
}
