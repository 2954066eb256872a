#define _GNU_SOURCE
#include "include/guest.h"
#include "include/rdma_netlink.h"
#include <errno.h>
#include <linux/netlink.h>
#include <rdma/rdma_netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER 65536

/* One attribute of an answer; NULL where it has none of that type. */
static const struct nlattr *find(const void *start, size_t length, int type) {
    const char *place = start, *end = place + length;
    while ((size_t)(end - place) >= sizeof(struct nlattr)) {
        const struct nlattr *attribute = (const struct nlattr *)place;
        if (attribute->nla_len < sizeof *attribute || attribute->nla_len > end - place) return NULL;
        if ((attribute->nla_type & NLA_TYPE_MASK) == type) return attribute;
        if (NLA_ALIGN(attribute->nla_len) > (size_t)(end - place)) return NULL;
        place += NLA_ALIGN(attribute->nla_len);
    }
    return NULL;
}
static const void *content(const struct nlattr *attribute) { return attribute + 1; }
static size_t content_length(const struct nlattr *attribute) { return attribute->nla_len - sizeof *attribute; }
static int number(const struct nlattr *attribute, uint32_t *value) {
    if (!attribute || content_length(attribute) < 4) return 0;
    memcpy(value, content(attribute), 4);
    return 1;
}

struct question {
    struct nlmsghdr header;
    char attributes[64];
};
static void add(struct question *question, int type, const void *value, size_t length) {
    struct nlattr attribute = { .nla_len = (unsigned short)(sizeof attribute + length), .nla_type = (unsigned short)type };
    char *place = (char *)question + NLMSG_ALIGN(question->header.nlmsg_len);
    memcpy(place, &attribute, sizeof attribute);
    memcpy(place + sizeof attribute, value, length);
    question->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(question->header.nlmsg_len) + NLA_ALIGN(attribute.nla_len));
}

/* Asks, and shows each answer's attributes to `visit` until that returns something else than 0. */
static long ask(int fd, int command, int dump, struct question *question,
                long (*visit)(const void *attributes, size_t length, void *context), void *context) {
    static _Thread_local char answer[ANSWER];
    question->header.nlmsg_type = (uint16_t)RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, command);
    question->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | (dump ? NLM_F_DUMP : NLM_F_ACK));
    if (send(fd, question, question->header.nlmsg_len, 0) < 0) return -errno;
    long found = 0;
    for (;;) {
        ssize_t length = recv(fd, answer, sizeof answer, 0);
        if (length < 0 && errno == EINTR) continue;
        if (length < 0) return -errno;
        struct nlmsghdr *message = (struct nlmsghdr *)answer;
        size_t rest = (size_t)length;
        for (; NLMSG_OK(message, rest); message = NLMSG_NEXT(message, rest)) {
            if (message->nlmsg_type == NLMSG_DONE) return found;
            if (message->nlmsg_type == NLMSG_ERROR) {
                const struct nlmsgerr *error = NLMSG_DATA(message);
                return error->error ? error->error : found;
            }
            if (!found) found = visit(NLMSG_DATA(message), message->nlmsg_len - NLMSG_HDRLEN, context);
        }
    }
}

struct search {
    const char *device;
    uint32_t lkey, index, region;
    void *buffer;
    size_t size;
};
static long visit_device(const void *attributes, size_t length, void *context) {
    struct search *search = context;
    const struct nlattr *name = find(attributes, length, RDMA_NLDEV_ATTR_DEV_NAME);
    if (!name || strncmp(content(name), search->device, content_length(name))) return 0;
    return number(find(attributes, length, RDMA_NLDEV_ATTR_DEV_INDEX), &search->index);
}
static long visit_regions(const void *attributes, size_t length, void *context) {
    struct search *search = context;
    const struct nlattr *list = find(attributes, length, RDMA_NLDEV_ATTR_RES_MR);
    if (!list) return 0;
    const char *place = content(list), *end = place + content_length(list);
    while ((size_t)(end - place) >= sizeof(struct nlattr)) {
        const struct nlattr *entry = (const struct nlattr *)place;
        if (entry->nla_len < sizeof *entry || entry->nla_len > end - place) return 0;
        uint32_t key, owner;
        if (number(find(content(entry), content_length(entry), RDMA_NLDEV_ATTR_RES_LKEY), &key) && key == search->lkey &&
            number(find(content(entry), content_length(entry), RDMA_NLDEV_ATTR_RES_PID), &owner) &&
            owner == (uint32_t)getpid() &&
            number(find(content(entry), content_length(entry), RDMA_NLDEV_ATTR_RES_MRN), &search->region))
            return 1;
        if (NLA_ALIGN(entry->nla_len) >= (size_t)(end - place)) return 0;
        place += NLA_ALIGN(entry->nla_len);
    }
    return 0;
}
static long visit_raw(const void *attributes, size_t length, void *context) {
    struct search *search = context;
    const struct nlattr *raw = find(attributes, length, RDMA_NLDEV_ATTR_RES_RAW);
    if (!raw) return 0;
    size_t count = content_length(raw) < search->size ? content_length(raw) : search->size;
    memcpy(search->buffer, content(raw), count);
    return (long)count;
}

static long search_device(int fd, struct search *search) {
    struct question devices = { .header.nlmsg_len = NLMSG_HDRLEN };
    long result = ask(fd, RDMA_NLDEV_CMD_GET, 1, &devices, visit_device, search);
    return result <= 0 ? (result ? result : -ENODEV) : 0;
}

static long search_region(int fd, struct search *search) {
    long result = search_device(fd, search);
    if (result) return result;
    struct question regions = { .header.nlmsg_len = NLMSG_HDRLEN };
    add(&regions, RDMA_NLDEV_ATTR_DEV_INDEX, &search->index, 4);
    result = ask(fd, RDMA_NLDEV_CMD_RES_MR_GET, 1, &regions, visit_regions, search);
    return result <= 0 ? (result ? result : -ENOENT) : 0;
}

static int open_netlink(void) { return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_RDMA); }

long rdma_raw_mr(const char *device, uint32_t lkey, void *buffer, size_t size) {
    struct search search = { .device = device, .lkey = lkey, .buffer = buffer, .size = size };
    int fd = open_netlink();
    if (fd < 0) return -errno;
    long result = search_region(fd, &search);
    if (result == 0) {
        struct question raw = { .header.nlmsg_len = NLMSG_HDRLEN };
        add(&raw, RDMA_NLDEV_ATTR_DEV_INDEX, &search.index, 4);
        add(&raw, RDMA_NLDEV_ATTR_RES_MRN, &search.region, 4);
        result = ask(fd, RDMA_NLDEV_CMD_RES_MR_GET_RAW, 0, &raw, visit_raw, &search);
        if (result == 0) result = -ENODATA;
        /* drivers/infiniband/core/nldev.c:fill_res_mr_raw_entry, where a driver has none. */
        if (result == -EINVAL) result = -EOPNOTSUPP;
    }
    close(fd);
    return result;
}

/* include/uapi/rdma/rdma_netlink.h of 7.3; older headers lack the names. */
enum { FRMR_POOLS_GET = 29, ATTR_FRMR_POOLS = 105, ATTR_DRIVER_DETAILS = 97 };

struct pools {
    char *buffer;
    size_t size, length;
};
/* Gathers a message's table; never ends the dump. */
static long visit_pools(const void *attributes, size_t length, void *context) {
    struct pools *pools = context;
    const struct nlattr *table = find(attributes, length, ATTR_FRMR_POOLS);
    size_t count = table ? content_length(table) : 0;
    if (!count || count > pools->size - pools->length) return 0;
    memcpy(pools->buffer + pools->length, content(table), count);
    pools->length += NLA_ALIGN(count) > pools->size - pools->length ? count : NLA_ALIGN(count);
    return 0;
}

long rdma_frmr_pools(const char *device, void *buffer, size_t size) {
    struct search search = { .device = device };
    struct pools pools = { .buffer = buffer, .size = size };
    uint8_t details = 1;
    int fd = open_netlink();
    if (fd < 0) return -errno;
    long result = search_device(fd, &search);
    if (result == 0) {
        struct question question = { .header.nlmsg_len = NLMSG_HDRLEN };
        add(&question, RDMA_NLDEV_ATTR_DEV_INDEX, &search.index, 4);
        /* Without it the driver's own part of a pool's key is left out with its pool. */
        add(&question, ATTR_DRIVER_DETAILS, &details, 1);
        result = ask(fd, FRMR_POOLS_GET, 1, &question, visit_pools, &pools);
        /* drivers/infiniband/core/netlink.c:rdma_nl_rcv_msg, of a command it does not know */
        if (result == -EINVAL) result = -EOPNOTSUPP;
        if (result == 0) result = pools.length ? (long)pools.length : -ENODATA;
    }
    close(fd);
    return result;
}

static long visit_nothing(const void *attributes, size_t length, void *context) {
    (void)attributes, (void)length, (void)context;
    return 0;
}

long guest_add_rdma_link(const char *name, const char *kind, const char *interface) {
    size_t lengths = NLA_ALIGN(strlen(name) + 5) + NLA_ALIGN(strlen(kind) + 5) + NLA_ALIGN(strlen(interface) + 5);
    struct question question = { .header.nlmsg_len = NLMSG_HDRLEN };
    if (lengths > sizeof question.attributes) return -ENAMETOOLONG;
    int fd = open_netlink();
    if (fd < 0) return -errno;
    add(&question, RDMA_NLDEV_ATTR_DEV_NAME, name, strlen(name) + 1);
    add(&question, RDMA_NLDEV_ATTR_LINK_TYPE, kind, strlen(kind) + 1);
    add(&question, RDMA_NLDEV_ATTR_NDEV_NAME, interface, strlen(interface) + 1);
    long result = ask(fd, RDMA_NLDEV_CMD_NEWLINK, 0, &question, visit_nothing, NULL);
    close(fd);
    return result;
}
