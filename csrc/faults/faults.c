/* System calls that fail, are cut short, or are the last of their process: preloaded by tests (tests/fault_server.py).
 *
 * Counts the calls that touch a path under one directory, or a descriptor that was opened there, and does at the n-th of them
 * what it was armed for. Only what goes through libc is seen: what LMDB reads through its map, and what numpy writes into one,
 * is not. One thread of a process may be armed at a time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))
#define LOG_BYTES 65536

enum mode { OFF, COUNT, KILL_BEFORE, KILL_AFTER, FAIL, SHORT };

/* What a call may plausibly fail with, so that ENOSPC is not said by a read. */
enum kind { READS = 1, TAKES_ROOM = 2, WAITS = 4, NAMES = 8, CLOSES = 16 };

static char directory[4096];
static size_t directory_bytes;
static enum mode mode = OFF;
static long wanted, every, seen;
static int error;
static char told[LOG_BYTES];
static size_t told_bytes;

/* Begin: `at` counts from 1 and `period`, if not 0, repeats it. */
API void faults_arm(const char *path, int what, long at, long period, int code) {
    directory_bytes = strlen(path) < sizeof directory ? strlen(path) : 0;
    memcpy(directory, path, directory_bytes);
    wanted = at, every = period, error = code, seen = 0, told_bytes = 0;
    told[0] = 0;
    mode = (enum mode)what;
}

API void faults_disarm(void) { mode = OFF; }
API long faults_seen(void) { return seen; }
API const char *faults_log(void) { return told; }

static int is_ours(const char *path) {
    if (path == NULL || mode == OFF) return 0;
    return strncmp(path, directory, directory_bytes) == 0;
}

/* Also descriptors of before the arming: what they are is asked from the kernel, once. */
static int is_our_descriptor(int descriptor) {
    if (mode == OFF || descriptor < 0) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = syscall(SYS_readlink, link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return is_ours(path);
}

static void die(void) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) pause();
}

static int applies(int kind) {
    switch (error) {
    case ENOSPC: return kind & TAKES_ROOM;
    case EINTR: return kind & WAITS;
    default: return 1;
    }
}

/* What to do at this call: OFF for nothing, else the mode. Kills before it itself. */
static enum mode turn(const char *name, int kind) {
    if (mode == FAIL && !applies(kind)) return OFF;
    if (mode == SHORT && strncmp(name, "write", 5) != 0 && strncmp(name, "pwrite", 6) != 0) return OFF;
    seen++;
    size_t size = strlen(name);
    if (told_bytes + size + 2 < sizeof told) {
        memcpy(told + told_bytes, name, size);
        told_bytes += size;
        told[told_bytes++] = ' ';
        told[told_bytes] = 0;
    }
    int is_it = seen == wanted || (every > 0 && seen > wanted && (seen - wanted) % every == 0);
    if (!is_it || mode == COUNT) return OFF;
    if (mode == KILL_BEFORE) die();
    return mode;
}

#define REAL(name)                                                                     \
    static __typeof__(&name) real;                                                     \
    if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* The call, with its turn around it; `touches` says whether it is one of ours. */
#define AROUND(type, name, kind, touches, failure, call)                               \
    REAL(name);                                                                        \
    if (!(touches)) return call;                                                       \
    enum mode does = turn(#name, kind);                                                \
    if (does == FAIL) {                                                                \
        errno = error;                                                                 \
        return failure;                                                                \
    }                                                                                  \
    type given = call;                                                                 \
    if (does == KILL_AFTER) die();                                                     \
    return given

#define OPENS(name)                                                                    \
    API int name(const char *path, int flags, ...) {                                   \
        va_list rest;                                                                  \
        va_start(rest, flags);                                                         \
        mode_t bits = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;        \
        va_end(rest);                                                                  \
        AROUND(int, name, WAITS | (flags & O_CREAT ? TAKES_ROOM : READS), is_ours(path), -1, \
               real(path, flags, bits));                                               \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name)                                                                 \
    API int name(int folder, const char *path, int flags, ...) {                       \
        va_list rest;                                                                  \
        va_start(rest, flags);                                                         \
        mode_t bits = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;        \
        va_end(rest);                                                                  \
        AROUND(int, name, WAITS | (flags & O_CREAT ? TAKES_ROOM : READS),              \
               is_ours(path) || is_our_descriptor(folder), -1, real(folder, path, flags, bits)); \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

/* Writes may also be cut to half of what was asked, at least one byte. */
#define WRITES(name, parameters, arguments, halved)                                    \
    API ssize_t name parameters {                                                      \
        REAL(name);                                                                    \
        if (!is_our_descriptor(descriptor)) return real arguments;                     \
        enum mode does = turn(#name, TAKES_ROOM | WAITS);                              \
        if (does == FAIL) {                                                            \
            errno = error;                                                             \
            return -1;                                                                 \
        }                                                                              \
        if (does == SHORT) return halved;                                              \
        ssize_t given = real arguments;                                                \
        if (does == KILL_AFTER) die();                                                 \
        return given;                                                                  \
    }
#define HALF(size) ((size) > 1 ? (size) / 2 : (size))
WRITES(write, (int descriptor, const void *data, size_t size), (descriptor, data, size), real(descriptor, data, HALF(size)))
WRITES(pwrite, (int descriptor, const void *data, size_t size, off_t at), (descriptor, data, size, at),
       real(descriptor, data, HALF(size), at))
WRITES(pwrite64, (int descriptor, const void *data, size_t size, off64_t at), (descriptor, data, size, at),
       real(descriptor, data, HALF(size), at))
WRITES(writev, (int descriptor, const struct iovec *parts, int count), (descriptor, parts, count),
       write(descriptor, parts->iov_base, HALF(parts->iov_len)))
WRITES(pwritev, (int descriptor, const struct iovec *parts, int count, off_t at), (descriptor, parts, count, at),
       pwrite(descriptor, parts->iov_base, HALF(parts->iov_len), at))

API ssize_t read(int descriptor, void *data, size_t size) {
    AROUND(ssize_t, read, READS | WAITS, is_our_descriptor(descriptor), -1, real(descriptor, data, size));
}
API ssize_t pread(int descriptor, void *data, size_t size, off_t at) {
    AROUND(ssize_t, pread, READS | WAITS, is_our_descriptor(descriptor), -1, real(descriptor, data, size, at));
}
API ssize_t pread64(int descriptor, void *data, size_t size, off64_t at) {
    AROUND(ssize_t, pread64, READS | WAITS, is_our_descriptor(descriptor), -1, real(descriptor, data, size, at));
}
API int fsync(int descriptor) { AROUND(int, fsync, WAITS | TAKES_ROOM, is_our_descriptor(descriptor), -1, real(descriptor)); }
API int fdatasync(int descriptor) {
    AROUND(int, fdatasync, WAITS | TAKES_ROOM, is_our_descriptor(descriptor), -1, real(descriptor));
}
API int ftruncate(int descriptor, off_t size) {
    AROUND(int, ftruncate, WAITS | TAKES_ROOM, is_our_descriptor(descriptor), -1, real(descriptor, size));
}
API int ftruncate64(int descriptor, off64_t size) {
    AROUND(int, ftruncate64, WAITS | TAKES_ROOM, is_our_descriptor(descriptor), -1, real(descriptor, size));
}
API int posix_fallocate(int descriptor, off_t at, off_t size) {
    AROUND(int, posix_fallocate, WAITS | TAKES_ROOM, is_our_descriptor(descriptor), error, real(descriptor, at, size));
}
API int posix_fallocate64(int descriptor, off64_t at, off64_t size) {
    AROUND(int, posix_fallocate64, WAITS | TAKES_ROOM, is_our_descriptor(descriptor), error, real(descriptor, at, size));
}
API int rename(const char *from, const char *to) {
    AROUND(int, rename, NAMES | TAKES_ROOM, is_ours(from) || is_ours(to), -1, real(from, to));
}
API int renameat(int here, const char *from, int there, const char *to) {
    AROUND(int, renameat, NAMES | TAKES_ROOM, is_ours(from) || is_ours(to), -1, real(here, from, there, to));
}
API int link(const char *from, const char *to) {
    AROUND(int, link, NAMES | TAKES_ROOM, is_ours(from) || is_ours(to), -1, real(from, to));
}
API int linkat(int here, const char *from, int there, const char *to, int flags) {
    AROUND(int, linkat, NAMES | TAKES_ROOM, is_ours(from) || is_ours(to), -1, real(here, from, there, to, flags));
}
API int unlink(const char *path) { AROUND(int, unlink, NAMES, is_ours(path), -1, real(path)); }
API int unlinkat(int folder, const char *path, int flags) {
    AROUND(int, unlinkat, NAMES, is_ours(path) || is_our_descriptor(folder), -1, real(folder, path, flags));
}
API int mkdir(const char *path, mode_t bits) { AROUND(int, mkdir, NAMES | TAKES_ROOM, is_ours(path), -1, real(path, bits)); }
API int rmdir(const char *path) { AROUND(int, rmdir, NAMES, is_ours(path), -1, real(path)); }
API void *mmap(void *at, size_t size, int bits, int flags, int descriptor, off_t from) {
    AROUND(void *, mmap, READS, is_our_descriptor(descriptor), MAP_FAILED, real(at, size, bits, flags, descriptor, from));
}
API void *mmap64(void *at, size_t size, int bits, int flags, int descriptor, off64_t from) {
    AROUND(void *, mmap64, READS, is_our_descriptor(descriptor), MAP_FAILED, real(at, size, bits, flags, descriptor, from));
}

#define LOCKS(name)                                                                    \
    API int name(int descriptor, int what, ...) {                                      \
        va_list rest;                                                                  \
        va_start(rest, what);                                                          \
        void *request = va_arg(rest, void *);                                          \
        va_end(rest);                                                                  \
        int is_lock = what == F_SETLK || what == F_SETLKW || what == F_OFD_SETLK || what == F_OFD_SETLKW; \
        AROUND(int, name, what == F_OFD_SETLKW || what == F_SETLKW ? WAITS : 0, is_lock && is_our_descriptor(descriptor), -1, \
               real(descriptor, what, request));                                       \
    }
LOCKS(fcntl)
LOCKS(fcntl64)

/* A close that fails has closed all the same. */
API int close(int descriptor) {
    REAL(close);
    if (!is_our_descriptor(descriptor)) return real(descriptor);
    enum mode does = turn("close", CLOSES);
    int given = real(descriptor);
    if (does == KILL_AFTER) die();
    if (does == FAIL) {
        errno = error;
        return -1;
    }
    return given;
}
