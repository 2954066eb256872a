/* UNIX stream sockets that carry descriptors. Swift can neither lay out control messages nor read errno safely. Results are
 * 0 or more, or a negated errno. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Device and inode of a listening socket's file, by which socket_remove knows it. */
struct socket_file {
    uint64_t device, inode;
};

/* A socket that listens at a path, nobody's but this user's (mode 0600), and does not block. A socket file of this user's
 * that no program listens at is replaced; -EADDRINUSE where one does, -EEXIST for any other file. */
long socket_listen(const char *_Nonnull path, struct socket_file *_Nonnull file);
/* Removes the file, if it still is that one. */
void socket_remove(const char *_Nonnull path, struct socket_file file);
/* A connection that does not block. */
long socket_accept(int listener);
/* Two ends that do not block. */
long socket_pair(int *_Nonnull ends);

/* Bytes that were there, 0 at the end of the stream. Descriptors that came along, of which `count` are taken and the rest
 * closed; `count` becomes the number that came. */
long socket_receive(
    int socket, void *_Nonnull buffer, size_t size, int *_Nullable descriptors, size_t *_Nonnull count);
/* Bytes that went, with `count` descriptors if any went; -EINVAL for more than 253. A reader that is gone is -EPIPE, and no
 * signal. */
long socket_send(
    int socket, const void *_Nonnull bytes, size_t size, const int *_Nullable descriptors, size_t count);

/* What a descriptor that may be mapped is. */
struct mappable {
    uint64_t device, inode, size;
    int is_writable;
};
/* Fills it for a regular file whose pages come from this machine; -EMEDIUMTYPE for anything else: a device may do more than
 * remember, and a file of a user's file system may never answer. */
long socket_mappable(int fd, struct mappable *_Nonnull file);
/* 0 where it is an eventfd, which from now on does not block. */
long socket_eventfd(int fd);
/* Adds 1 to an eventfd; one that is full is left so. */
long socket_signal(int fd);
/* From now on SIGINT, SIGTERM and SIGHUP end nothing, but make this readable. SIGPIPE is ignored. */
long socket_ending_signals(void);
