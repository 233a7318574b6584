/* Faults that no command of this system makes: a disk whose promises take long, and a wall clock that is set.
 *
 * Loaded into the node by LD_PRELOAD. The files that FAULT_SYNC_MS and FAULT_CLOCK_S name hold a number: how long each
 * fsync takes, in milliseconds, and how wrong the wall clock is, in seconds. A file that is not there means 0. The
 * monotonic clock is the system's. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long number(const char *variable) {
    const char *path = getenv(variable);
    char text[32] = {0};
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    if (read(file, text, sizeof text - 1) < 0)
        text[0] = 0;
    close(file);
    return atol(text);
}

static void slowly(void) {
    long ms = number("FAULT_SYNC_MS");
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000};
    if (ms > 0)
        nanosleep(&wait, NULL);
}

int fsync(int file) {
    slowly();
    return syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    slowly();
    return syscall(SYS_fdatasync, file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += number("FAULT_CLOCK_S");
    return result;
}
