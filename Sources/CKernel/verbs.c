#define _GNU_SOURCE
#include "include/uverbs.h"
#include "include/verbs.h"
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* A provider that fails without setting errno must not look like success. */
static long failure(void) { return errno > 0 ? -(long)errno : -EIO; }
static long negated(int value) { return value == 0 ? 0 : (value > 0 ? -(long)value : failure()); }

long shim_ibv_get_device_list(struct ibv_device ***list, int *count) {
    errno = 0;
    *list = ibv_get_device_list(count);
    return *list ? 0 : failure();
}
void shim_ibv_free_device_list(struct ibv_device **list) { ibv_free_device_list(list); }

long shim_ibv_open_device(struct ibv_context **context, struct ibv_device *device) {
    errno = 0;
    *context = ibv_open_device(device);
    return *context ? 0 : failure();
}
long shim_ibv_close_device(struct ibv_context *context) { return negated(ibv_close_device(context)); }
long shim_ibv_query_device(struct ibv_device_attr *attributes, struct ibv_context *context) {
    return negated(ibv_query_device(context, attributes));
}
long shim_ibv_query_port(struct ibv_port_attr *attributes, struct ibv_context *context, uint8_t port) {
    return negated(ibv_query_port(context, port, attributes));
}

long shim_ibv_alloc_pd(struct ibv_pd **pd, struct ibv_context *context) {
    errno = 0;
    *pd = ibv_alloc_pd(context);
    return *pd ? 0 : failure();
}
long shim_ibv_dealloc_pd(struct ibv_pd *pd) { return negated(ibv_dealloc_pd(pd)); }

long shim_ibv_reg_mr(struct ibv_mr **mr, struct ibv_pd *pd, uint64_t address, uint64_t length, int access) {
    errno = 0;
    *mr = ibv_reg_mr(pd, (void *)(uintptr_t)address, (size_t)length, (unsigned int)access);
    return *mr ? 0 : failure();
}
long shim_ibv_reg_dmabuf_mr(struct ibv_mr **mr, struct ibv_pd *pd, uint64_t offset, uint64_t length, uint64_t iova,
                            int fd, int access) {
    errno = 0;
    *mr = ibv_reg_dmabuf_mr(pd, offset, (size_t)length, iova, fd, access);
    return *mr ? 0 : failure();
}
long shim_ibv_dereg_mr(struct ibv_mr *mr) {
    long result = uverbs_dereg_mr(mr);
    return result == -ENOENT ? negated(ibv_dereg_mr(mr)) : result;
}

long shim_ibv_query_gid_table(struct ibv_context *context, struct ibv_gid_entry *entries, size_t size) {
    ssize_t count = ibv_query_gid_table(context, entries, size, 0);
    return count < -4095 ? -EIO : (long)count;
}
long shim_ibv_create_comp_channel(struct ibv_comp_channel **channel, struct ibv_context *context) {
    errno = 0;
    *channel = ibv_create_comp_channel(context);
    return *channel ? 0 : failure();
}
long shim_ibv_destroy_comp_channel(struct ibv_comp_channel *channel) {
    return negated(ibv_destroy_comp_channel(channel));
}
long shim_ibv_create_cq(struct ibv_cq **cq, struct ibv_context *context, int entries,
                        struct ibv_comp_channel *channel) {
    errno = 0;
    *cq = ibv_create_cq(context, entries, NULL, channel, 0);
    return *cq ? 0 : failure();
}
long shim_ibv_req_notify_cq(struct ibv_cq *cq, bool solicited_only) {
    return negated(ibv_req_notify_cq(cq, solicited_only));
}
long shim_ibv_get_cq_event(struct ibv_comp_channel *channel, int milliseconds) {
    struct pollfd file = { .fd = channel->fd, .events = POLLIN };
    int ready = poll(&file, 1, milliseconds);
    if (ready <= 0) return ready == 0 ? 0 : -(long)errno;
    struct ibv_cq *cq;
    void *context;
    errno = 0;
    if (ibv_get_cq_event(channel, &cq, &context) != 0) return failure();
    ibv_ack_cq_events(cq, 1);
    return 1;
}
long shim_ibv_modify_cq(struct ibv_cq *cq, uint16_t count, uint16_t period) {
    struct ibv_modify_cq_attr attributes = {
        .attr_mask = IBV_CQ_ATTR_MODERATE, .moderate = { .cq_count = count, .cq_period = period }
    };
    return negated(ibv_modify_cq(cq, &attributes));
}
long shim_ibv_destroy_cq(struct ibv_cq *cq) { return negated(ibv_destroy_cq(cq)); }
long shim_ibv_create_qp(struct ibv_qp **qp, struct ibv_pd *pd, struct ibv_qp_init_attr *attributes) {
    errno = 0;
    *qp = ibv_create_qp(pd, attributes);
    return *qp ? 0 : failure();
}
long shim_ibv_destroy_qp(struct ibv_qp *qp) { return negated(ibv_destroy_qp(qp)); }
long shim_ibv_create_ah(struct ibv_ah **ah, struct ibv_pd *pd, struct ibv_ah_attr attributes) {
    errno = 0;
    *ah = ibv_create_ah(pd, &attributes);
    return *ah ? 0 : failure();
}
long shim_ibv_destroy_ah(struct ibv_ah *ah) { return negated(ibv_destroy_ah(ah)); }
long shim_ibv_create_srq(struct ibv_srq **srq, struct ibv_pd *pd, struct ibv_srq_init_attr attributes) {
    errno = 0;
    *srq = ibv_create_srq(pd, &attributes);
    return *srq ? 0 : failure();
}
long shim_ibv_get_async_event(struct ibv_context *context, int milliseconds, struct shim_async_event *event) {
    struct pollfd file = { .fd = context->async_fd, .events = POLLIN };
    int ready = poll(&file, 1, milliseconds);
    if (ready <= 0) return ready == 0 ? 0 : -(long)errno;
    struct ibv_async_event found;
    errno = 0;
    if (ibv_get_async_event(context, &found) != 0) return failure();
    event->type = found.event_type;
    switch (found.event_type) {
    case IBV_EVENT_CQ_ERR:
    case IBV_EVENT_SRQ_ERR:
    case IBV_EVENT_SRQ_LIMIT_REACHED: event->element = (uintptr_t)found.element.cq; break;
    case IBV_EVENT_QP_FATAL:
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR:
    case IBV_EVENT_COMM_EST:
    case IBV_EVENT_SQ_DRAINED:
    case IBV_EVENT_PATH_MIG:
    case IBV_EVENT_PATH_MIG_ERR:
    case IBV_EVENT_QP_LAST_WQE_REACHED: event->element = found.element.qp->qp_num; break;
    case IBV_EVENT_WQ_FATAL: event->element = (uintptr_t)found.element.wq; break;
    default: event->element = (uint64_t)(unsigned)found.element.port_num; break;
    }
    ibv_ack_async_event(&found);
    return 1;
}
long shim_ibv_modify_srq(struct ibv_srq *srq, uint32_t limit) {
    struct ibv_srq_attr attributes = { .srq_limit = limit };
    return negated(ibv_modify_srq(srq, &attributes, IBV_SRQ_LIMIT));
}
long shim_ibv_alloc_dm(struct ibv_dm **dm, struct ibv_context *context, uint64_t length) {
    struct ibv_alloc_dm_attr attributes = { .length = length };
    errno = 0;
    *dm = ibv_alloc_dm(context, &attributes);
    return *dm ? 0 : failure();
}
long shim_ibv_free_dm(struct ibv_dm *dm) { return negated(ibv_free_dm(dm)); }
long shim_ibv_memcpy_to_dm(struct ibv_dm *dm, uint64_t offset, const void *bytes, size_t length) {
    return negated(ibv_memcpy_to_dm(dm, offset, bytes, length));
}
long shim_ibv_memcpy_from_dm(void *bytes, struct ibv_dm *dm, uint64_t offset, size_t length) {
    return negated(ibv_memcpy_from_dm(bytes, dm, offset, length));
}
long shim_ibv_reg_dm_mr(struct ibv_mr **mr, struct ibv_pd *pd, struct ibv_dm *dm, uint64_t offset, uint64_t length,
                        int access) {
    errno = 0;
    *mr = ibv_reg_dm_mr(pd, dm, offset, length, (unsigned int)access);
    return *mr ? 0 : failure();
}
long shim_ibv_alloc_mw(struct ibv_mw **mw, struct ibv_pd *pd, unsigned type) {
    errno = 0;
    *mw = ibv_alloc_mw(pd, (enum ibv_mw_type)type);
    return *mw ? 0 : failure();
}
long shim_ibv_dealloc_mw(struct ibv_mw *mw) { return negated(ibv_dealloc_mw(mw)); }
long shim_ibv_destroy_srq(struct ibv_srq *srq) { return negated(ibv_destroy_srq(srq)); }
long shim_ibv_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *request) {
    struct ibv_recv_wr *bad;
    return negated(ibv_post_srq_recv(srq, request, &bad));
}
long shim_ibv_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr attributes, int mask) {
    return negated(ibv_modify_qp(qp, &attributes, mask));
}
long shim_ibv_post_send(struct ibv_qp *qp, struct ibv_send_wr *request) {
    struct ibv_send_wr *bad;
    return negated(ibv_post_send(qp, request, &bad));
}
long shim_ibv_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *request) {
    struct ibv_recv_wr *bad;
    return negated(ibv_post_recv(qp, request, &bad));
}
long shim_ibv_poll_cq(struct ibv_cq *cq, int count, struct ibv_wc *completions) {
    errno = 0;
    int found = ibv_poll_cq(cq, count, completions);
    return found >= 0 ? found : (errno ? failure() : -EIO);
}

/* Found by name because rdma-core 44, which this must build against, has none of them. The provider library is only
 * looked into when libibverbs has loaded it already: mlx5dv calls make no sense on another provider's device. */
static void *symbol(const char *library, const char *name) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
    return handle ? dlsym(handle, name) : NULL;
}

long shim_ibv_reg_mr_ex(struct ibv_mr **mr, struct ibv_pd *pd, struct shim_mr_init_attr attributes) {
    struct ibv_mr *(*call)(struct ibv_pd *, const struct shim_mr_init_attr *) =
        (struct ibv_mr * (*)(struct ibv_pd *, const struct shim_mr_init_attr *)) symbol("libibverbs.so.1", "ibv_reg_mr_ex");
    if (!call) return uverbs_reg_mr(pd, &attributes, mr);
    errno = 0;
    *mr = call(pd, &attributes);
    return *mr ? 0 : failure();
}
long shim_ibv_alloc_dmah(void **dmah, struct ibv_context *context, struct shim_dmah_init_attr attributes) {
    void *(*call)(struct ibv_context *, const struct shim_dmah_init_attr *) =
        (void *(*)(struct ibv_context *, const struct shim_dmah_init_attr *)) symbol("libibverbs.so.1", "ibv_alloc_dmah");
    if (!call) return uverbs_alloc_dmah(context, &attributes, dmah);
    errno = 0;
    *dmah = call(context, &attributes);
    return *dmah ? 0 : failure();
}
long shim_ibv_dealloc_dmah(void *dmah) {
    int (*call)(void *) = (int (*)(void *))symbol("libibverbs.so.1", "ibv_dealloc_dmah");
    return call ? negated(call(dmah)) : uverbs_dealloc_dmah(dmah);
}
long shim_mlx5dv_reg_dmabuf_mr(struct ibv_mr **mr, struct ibv_pd *pd, uint64_t offset, uint64_t length, uint64_t iova,
                               int fd, int access, int mlx5_access) {
    typedef struct ibv_mr *(*function)(struct ibv_pd *, uint64_t, size_t, uint64_t, int, int, int);
    function call = (function)symbol("libmlx5.so.1", "mlx5dv_reg_dmabuf_mr");
    if (!call) return -ENOSYS;
    errno = 0;
    *mr = call(pd, offset, (size_t)length, iova, fd, access, mlx5_access);
    return *mr ? 0 : failure();
}

/* Writes the resolved path of the loaded libibverbs. */
long shim_ibv_library(char *path, size_t size) {
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)ibv_open_device, &info) || !info.dli_fname) return -ENOENT;
    char *real = realpath(info.dli_fname, NULL);
    if (!real) return -(long)errno;
    long result = strlen(real) < size ? 0 : -ENAMETOOLONG;
    if (result == 0) strcpy(path, real);
    free(real);
    return result;
}
