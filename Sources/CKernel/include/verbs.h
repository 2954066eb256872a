/* libibverbs with one error convention: 0 and a result, or a negated errno. The library's own differ by call (NULL with
 * errno, an errno value, -1), and ibv_query_port, ibv_reg_mr and others are macros that Swift cannot see. What a call gives comes
 * first among the parameters, behind a pointer, and the function's own follow in their order: so verbs take these functions as
 * they are (Kernel/Verbs).
 * Calls newer than rdma-core 44 are looked up at run time; where the installed library lacks them, DMA handles of mlx5 are
 * asked of the kernel itself (uverbs.h), and all else is -ENOSYS. */
#pragma once
#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stdint.h>

long shim_ibv_get_device_list(struct ibv_device *_Nullable *_Nullable *_Nonnull list, int *_Nonnull count);
void shim_ibv_free_device_list(struct ibv_device *_Nullable *_Nonnull list);
long shim_ibv_library(char *_Nonnull path, size_t size);
long shim_ibv_open_device(struct ibv_context *_Nullable *_Nonnull context, struct ibv_device *_Nonnull device);
long shim_ibv_close_device(struct ibv_context *_Nonnull context);
long shim_ibv_query_device(struct ibv_device_attr *_Nonnull attributes, struct ibv_context *_Nonnull context);
long shim_ibv_query_port(struct ibv_port_attr *_Nonnull attributes, struct ibv_context *_Nonnull context, uint8_t port);
long shim_ibv_alloc_pd(struct ibv_pd *_Nullable *_Nonnull pd, struct ibv_context *_Nonnull context);
long shim_ibv_dealloc_pd(struct ibv_pd *_Nonnull pd);
long shim_ibv_reg_mr(struct ibv_mr *_Nullable *_Nonnull mr, struct ibv_pd *_Nonnull pd, uint64_t address,
                     uint64_t length, int access);
long shim_ibv_reg_dmabuf_mr(struct ibv_mr *_Nullable *_Nonnull mr, struct ibv_pd *_Nonnull pd, uint64_t offset,
                            uint64_t length, uint64_t iova, int fd, int access);
long shim_ibv_dereg_mr(struct ibv_mr *_Nonnull mr);
/* How many entries were filled. */
long shim_ibv_query_gid_table(struct ibv_context *_Nonnull context, struct ibv_gid_entry *_Nonnull entries,
                              size_t size);
long shim_ibv_create_comp_channel(struct ibv_comp_channel *_Nullable *_Nonnull channel,
                                  struct ibv_context *_Nonnull context);
long shim_ibv_destroy_comp_channel(struct ibv_comp_channel *_Nonnull channel);
long shim_ibv_create_cq(struct ibv_cq *_Nullable *_Nonnull cq, struct ibv_context *_Nonnull context, int entries,
                        struct ibv_comp_channel *_Nullable channel);
long shim_ibv_req_notify_cq(struct ibv_cq *_Nonnull cq, bool solicited_only);
/* 1 where an event came within so many milliseconds, which is acknowledged; 0 where none did. */
long shim_ibv_get_cq_event(struct ibv_comp_channel *_Nonnull channel, int milliseconds);
long shim_ibv_modify_cq(struct ibv_cq *_Nonnull cq, uint16_t count, uint16_t period);
long shim_ibv_destroy_cq(struct ibv_cq *_Nonnull cq);
long shim_ibv_create_qp(struct ibv_qp *_Nullable *_Nonnull qp, struct ibv_pd *_Nonnull pd,
                        struct ibv_qp_init_attr *_Nonnull attributes);
long shim_ibv_destroy_qp(struct ibv_qp *_Nonnull qp);
long shim_ibv_create_ah(struct ibv_ah *_Nullable *_Nonnull ah, struct ibv_pd *_Nonnull pd,
                        struct ibv_ah_attr attributes);
long shim_ibv_destroy_ah(struct ibv_ah *_Nonnull ah);
long shim_ibv_create_srq(struct ibv_srq *_Nullable *_Nonnull srq, struct ibv_pd *_Nonnull pd,
                         struct ibv_srq_init_attr attributes);
/* An asynchronous event; `element` is a queue pair's number, a port's number, or the address of a completion queue or
 * shared receive queue. */
struct shim_async_event {
    uint32_t type;
    uint64_t element;
};
/* 1 with an event, which is acknowledged; 0 where none came in so many milliseconds; else a negated errno. */
long shim_ibv_get_async_event(struct ibv_context *_Nonnull context, int milliseconds,
                              struct shim_async_event *_Nonnull event);
long shim_ibv_modify_srq(struct ibv_srq *_Nonnull srq, uint32_t limit);
long shim_ibv_alloc_dm(struct ibv_dm *_Nullable *_Nonnull dm, struct ibv_context *_Nonnull context, uint64_t length);
long shim_ibv_free_dm(struct ibv_dm *_Nonnull dm);
long shim_ibv_memcpy_to_dm(struct ibv_dm *_Nonnull dm, uint64_t offset, const void *_Nullable bytes, size_t length);
long shim_ibv_memcpy_from_dm(void *_Nullable bytes, struct ibv_dm *_Nonnull dm, uint64_t offset, size_t length);
long shim_ibv_reg_dm_mr(struct ibv_mr *_Nullable *_Nonnull mr, struct ibv_pd *_Nonnull pd, struct ibv_dm *_Nonnull dm,
                        uint64_t offset, uint64_t length, int access);
long shim_ibv_alloc_mw(struct ibv_mw *_Nullable *_Nonnull mw, struct ibv_pd *_Nonnull pd, unsigned type);
long shim_ibv_dealloc_mw(struct ibv_mw *_Nonnull mw);
long shim_ibv_destroy_srq(struct ibv_srq *_Nonnull srq);
long shim_ibv_post_srq_recv(struct ibv_srq *_Nonnull srq, struct ibv_recv_wr *_Nonnull request);
long shim_ibv_modify_qp(struct ibv_qp *_Nonnull qp, struct ibv_qp_attr attributes, int mask);
long shim_ibv_post_send(struct ibv_qp *_Nonnull qp, struct ibv_send_wr *_Nonnull request);
long shim_ibv_post_recv(struct ibv_qp *_Nonnull qp, struct ibv_recv_wr *_Nonnull request);
long shim_ibv_poll_cq(struct ibv_cq *_Nonnull cq, int count, struct ibv_wc *_Nonnull completions);

/* ibv_mr_init_attr and ibv_dmah_init_attr as rdma-core 59 and later have them (man ibv_reg_mr_ex, ibv_alloc_dmah). */
struct shim_mr_init_attr {
    uint64_t length;
    int access;
    uint64_t comp_mask; /* 1 iova, 2 addr, 4 fd, 8 fd_offset, 16 dmah */
    uint64_t iova;
    void *_Nullable addr;
    int fd;
    uint64_t fd_offset;
    void *_Nullable dmah;
};
struct shim_dmah_init_attr {
    uint32_t comp_mask; /* 1 cpu_id, 2 ph, 4 tph_mem_type */
    uint32_t cpu_id;
    uint8_t ph;
    uint8_t tph_mem_type; /* 0 volatile, 1 persistent */
};
long shim_ibv_reg_mr_ex(struct ibv_mr *_Nullable *_Nonnull mr, struct ibv_pd *_Nonnull pd,
                        struct shim_mr_init_attr attributes);
long shim_ibv_alloc_dmah(void *_Nullable *_Nonnull dmah, struct ibv_context *_Nonnull context,
                         struct shim_dmah_init_attr attributes);
long shim_ibv_dealloc_dmah(void *_Nonnull dmah);
/* mlx5_access: bit 0 data direct. */
long shim_mlx5dv_reg_dmabuf_mr(struct ibv_mr *_Nullable *_Nonnull mr, struct ibv_pd *_Nonnull pd, uint64_t offset,
                               uint64_t length, uint64_t iova, int fd, int access, int mlx5_access);
