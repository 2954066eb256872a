#define _GNU_SOURCE
#include "include/guest.h"
#include "include/process.h"
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

long guest_mount(const char *type, const char *folder, const char *options) {
    if (mkdir(folder, 0755) < 0 && errno != EEXIST) return -errno;
    return mount(type, folder, type, 0, options) < 0 ? -errno : 0;
}

long guest_load_module(int fd, const char *parameters) {
    return syscall(SYS_finit_module, fd, parameters, 0) < 0 ? -errno : 0;
}

static long set_address(int fd, struct ifreq *request, unsigned long number, uint32_t address) {
    struct sockaddr_in value = { .sin_family = AF_INET, .sin_addr.s_addr = address };
    memcpy(&request->ifr_addr, &value, sizeof value);
    return ioctl(fd, number, request) < 0 ? -errno : 0;
}

long guest_interface_up(const char *name, uint32_t address, uint32_t mask) {
    struct ifreq request = { .ifr_flags = 0 };
    strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    long result = 0;
    if (address) {
        result = set_address(fd, &request, SIOCSIFADDR, address);
        if (result == 0) result = set_address(fd, &request, SIOCSIFNETMASK, mask);
    }
    if (result == 0 && ioctl(fd, SIOCGIFFLAGS, &request) < 0) result = -errno;
    request.ifr_flags |= IFF_UP;
    if (result == 0 && ioctl(fd, SIOCSIFFLAGS, &request) < 0) result = -errno;
    close(fd);
    return result;
}

void guest_power_off(void) {
    sync();
    reboot(RB_POWER_OFF);
}

/* Runs in the child. A failure's errno is written to `failure`, a pipe that a successful exec closes. */
static void become(char *const *arguments, char *const *environment, int output, int errors, int failure) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    setsid();
    int input = open("/dev/null", O_RDONLY);
    int from[] = { fcntl(input, F_DUPFD, 4), fcntl(output, F_DUPFD, 4), fcntl(errors, F_DUPFD, 4) };
    int told = fcntl(failure, F_DUPFD_CLOEXEC, 4);
    for (int fd = 0; fd < 3; fd++) dup2(from[fd], fd);
    dup3(told, 3, O_CLOEXEC);
    close_range(4, ~0U, 0);
    execve(arguments[0], arguments, environment);
    process_failed(3);
}

long guest_start(char *const *arguments, char *const *environment, int output, int errors) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    pid_t child = fork();
    if (child == 0) become(arguments, environment, output, errors, ends[1]);
    return process_started(child, ends);
}

long guest_reap(int *status) {
    pid_t pid = waitpid(-1, status, WNOHANG);
    return pid < 0 ? -errno : pid;
}

struct paths {
    char *buffer;
    size_t size, length;
};
static int visit_library(struct dl_phdr_info *info, size_t size, void *context) {
    struct paths *paths = context;
    (void)size;
    /* The program itself and the kernel's page of code have none. */
    if (!info->dlpi_name || info->dlpi_name[0] != '/') return 0;
    size_t count = strlen(info->dlpi_name) + 1;
    if (paths->length + count <= paths->size) memcpy(paths->buffer + paths->length, info->dlpi_name, count);
    paths->length += count;
    return 0;
}

size_t guest_libraries(char *buffer, size_t size) {
    struct paths paths = { .buffer = buffer, .size = size };
    dl_iterate_phdr(visit_library, &paths);
    return paths.length;
}
