#define _GNU_SOURCE
#include "include/socket.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The most descriptors of one message (SCM_MAX_FD), so that the kernel hands over all and drops none unseen. */
enum { most = 253 };

static long failed(int fd) {
    long error = -(long)errno;
    if (fd >= 0) close(fd);
    return error;
}

/* Whether a file may be replaced: a socket of ours that no program listens at. */
static long replace(const char *path, const struct sockaddr_un *address) {
    struct stat found;
    if (lstat(path, &found) < 0) return -(long)errno;
    if (!S_ISSOCK(found.st_mode) || found.st_uid != geteuid()) return -EEXIST;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) return -(long)errno;
    int result = connect(probe, (const struct sockaddr *)address, sizeof *address), error = errno;
    close(probe);
    if (result == 0 || error != ECONNREFUSED) return -EADDRINUSE;
    return unlink(path) < 0 ? -(long)errno : 0;
}

long socket_listen(const char *path, struct socket_file *file) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat made;
    if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The file gets the socket's own mode: there is no moment at which others can connect. */
    if (fd < 0 || fchmod(fd, 0600) < 0) return failed(fd);
    int result = bind(fd, (struct sockaddr *)&address, sizeof address);
    if (result < 0 && errno == EADDRINUSE) {
        long refusal = replace(path, &address);
        if (refusal < 0) {
            close(fd);
            return refusal;
        }
        result = bind(fd, (struct sockaddr *)&address, sizeof address);
    }
    if (result < 0) return failed(fd);
    if (lstat(path, &made) < 0) return failed(fd);
    *file = (struct socket_file){ made.st_dev, made.st_ino };
    if (listen(fd, 1) == 0) return fd;
    long error = failed(fd);
    socket_remove(path, *file);
    return error;
}

void socket_remove(const char *path, struct socket_file file) {
    struct stat found;
    if (lstat(path, &found) == 0 && S_ISSOCK(found.st_mode) && found.st_dev == file.device && found.st_ino == file.inode)
        unlink(path);
}

long socket_accept(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return fd < 0 ? -(long)errno : fd;
}

long socket_pair(int *ends) {
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0 ? -(long)errno : 0;
}

long socket_receive(int socket, void *buffer, size_t size, int *descriptors, size_t *count) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(most * sizeof(int))];
    struct iovec piece = { buffer, size };
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    size_t room = descriptors ? *count : 0;
    *count = 0;
    ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0) return -(long)errno;
    for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
        if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS) continue;
        size_t here = (one->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(one) + i * sizeof fd, sizeof fd);
            if (*count < room) descriptors[*count] = fd;
            else close(fd);
            ++*count;
        }
    }
    return got;
}

long socket_send(int socket, const void *bytes, size_t size, const int *descriptors, size_t count) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(most * sizeof(int))] = { 0 };
    struct iovec piece = { (void *)(uintptr_t)bytes, size };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
    if (count > most) return -EINVAL;
    if (count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(count * sizeof *descriptors);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        *rights = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(count * sizeof *descriptors), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS
        };
        memcpy(CMSG_DATA(rights), descriptors, count * sizeof *descriptors);
    }
    ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -(long)errno : sent;
}

long socket_mappable(int fd, struct mappable *file) {
    struct stat found;
    struct statfs system;
    if (fstat(fd, &found) < 0 || fstatfs(fd, &system) < 0) return -(long)errno;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -(long)errno;
    int is_local = system.f_type != FUSE_SUPER_MAGIC && system.f_type != NFS_SUPER_MAGIC;
    if (!S_ISREG(found.st_mode) || !is_local || found.st_size < 0) return -EMEDIUMTYPE;
    if ((flags & O_ACCMODE) == O_WRONLY || flags & O_PATH) return -EMEDIUMTYPE;
    *file = (struct mappable){ found.st_dev, found.st_ino, (uint64_t)found.st_size, (flags & O_ACCMODE) == O_RDWR };
    return 0;
}

long socket_eventfd(int fd) {
    char path[32], name[32] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, name, sizeof name - 1);
    if (length < 0) return -(long)errno;
    if (strcmp(name, "anon_inode:[eventfd]") != 0) return -EINVAL;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -(long)errno;
    return flags & O_NONBLOCK || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ? 0 : -(long)errno;
}

long socket_signal(int fd) {
    uint64_t one = 1;
    /* The client shares the open file description and may clear O_NONBLOCK, so poll(2) first: write(2) must not block. */
    struct pollfd room = { .fd = fd, .events = POLLOUT };
    if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT)) return -EAGAIN;
    return write(fd, &one, sizeof one) < 0 ? -(long)errno : 0;
}

long socket_ending_signals(void) {
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &ending, NULL) < 0) return -(long)errno;
    int fd = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -(long)errno : fd;
}
