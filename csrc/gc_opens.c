#define _GNU_SOURCE
#include "gc_opens.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "gc_relink.h"

/* Notes, one after another, each in whole units. A note is there once its size is; before, the memory is zero.
 *
 *   notes[0 .. taken)      taken, and zero again
 *   notes[taken .. end)    noted, or being noted
 *   notes[end .. room)     zero
 */
struct note {
    _Atomic uint32_t units; /* of this note, written last */
    int32_t flags;
    uint64_t thread;
    uint32_t path_bytes;
    char path[];
};

enum { UNIT_BYTES = 16, SPINS = 1000, TRIES = SPINS + 100 }; /* tries after SPINS last 0.1 ms each */

/* What was noted since the last time that all was taken: a loader that opens the same files in each of a hundred epochs is
 * noted once. Each slot holds 48 bits of a hash and, below, the round in which it was noted; slots of other rounds are free. */
enum { WAYS = 8, SETS = 1 << 20, ROUND_BITS = 16 };

struct book {
    _Atomic uint64_t end;
    _Atomic uint64_t lost;
    _Atomic uint32_t round;
    uint64_t taken; /* by whoever holds the GIL of the process that made the book */
    uint64_t room;
    _Atomic uint64_t seen[SETS][WAYS]; /* 64 MiB, of which the system gives what is written to */
    _Alignas(UNIT_BYTES) unsigned char notes[];
};

static struct book *book;
static _Atomic int listeners; /* of this process, and what it inherited */

static struct note *note_at(uint64_t unit)
{
    return (struct note *)(void *)(book->notes + unit * UNIT_BYTES);
}

/* ---------------------------------------------------------------- noting: any thread, also of a child, also in a signal handler */

static uint64_t hash_of(const char *path, size_t path_bytes, int flags, uint64_t thread)
{
    uint64_t hash = 0xcbf29ce484222325u ^ (uint64_t)(uint32_t)flags ^ thread; /* FNV-1a */
    for (size_t i = 0; i < path_bytes; i++)
        hash = (hash ^ (unsigned char)path[i]) * 0x100000001b3u;
    hash = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15u; /* its high bits name the set, so mix them */
    return hash ^ hash >> 29;
}

/* Whether this was noted in this round. It is, from now on: two threads that ask at once may both be told no. */
static bool was_noted(uint64_t hash)
{
    uint64_t round = atomic_load(&book->round) & ((1u << ROUND_BITS) - 1);
    uint64_t mark = hash << ROUND_BITS | round;
    _Atomic uint64_t *set = book->seen[hash >> 44];
    size_t way = 0;
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t slot = atomic_load_explicit(&set[i], memory_order_relaxed);
        if (slot == mark)
            return true;
        if ((slot & ((1u << ROUND_BITS) - 1)) != round)
            way = i;
    }
    atomic_store_explicit(&set[way], mark, memory_order_relaxed);
    return false;
}

static void note_path(const char *path, size_t path_bytes, int flags)
{
    uint64_t thread = (uint64_t)pthread_self();
    if (was_noted(hash_of(path, path_bytes, flags, thread)))
        return;
    uint64_t units = (sizeof(struct note) + path_bytes + UNIT_BYTES - 1) / UNIT_BYTES;
    uint64_t at = atomic_fetch_add(&book->end, units);
    if (at + units > book->room) { /* stays beyond the room until what is noted was taken */
        atomic_fetch_add(&book->lost, 1);
        return;
    }
    struct note *note = note_at(at);
    note->flags = flags;
    note->thread = thread;
    note->path_bytes = (uint32_t)path_bytes;
    memcpy(note->path, path, path_bytes);
    atomic_store_explicit(&note->units, (uint32_t)units, memory_order_release);
}

static void note_opened(int directory, const char *path, int flags)
{
    char whole[GC_OPENED_PATH_BYTES];
    int error = errno;
    size_t path_bytes = strnlen(path, sizeof whole);
    if (directory != AT_FDCWD && *path != '/') {
        char link[32];
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t length = readlink(link, whole, sizeof whole);
        if (length < 0 || (size_t)length + 1 + path_bytes > sizeof whole)
            path_bytes = sizeof whole; /* too long: lost */
        else {
            whole[length] = '/';
            memcpy(whole + length + 1, path, path_bytes);
            path_bytes += (size_t)length + 1;
            path = whole;
        }
    }
    if (path_bytes < sizeof whole)
        note_path(path, path_bytes, flags);
    else
        atomic_fetch_add(&book->lost, 1);
    errno = error;
}

static bool is_listened_to(void)
{
    return atomic_load_explicit(&listeners, memory_order_relaxed) != 0;
}

static int noted(int descriptor, int directory, const char *path, int flags)
{
    if (descriptor >= 0 && is_listened_to())
        note_opened(directory, path, flags);
    return descriptor;
}

static bool has_mode(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

#define MODE_OF(flags, mode)                                                                                                     \
    do {                                                                                                                         \
        if (has_mode(flags)) {                                                                                                   \
            va_list more;                                                                                                        \
            va_start(more, flags);                                                                                               \
            (mode) = va_arg(more, mode_t);                                                                                       \
            va_end(more);                                                                                                        \
        }                                                                                                                        \
    } while (0)

static int our_open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return noted(open(path, flags, mode), AT_FDCWD, path, flags);
}

static int our_openat(int directory, const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return noted(openat(directory, path, flags, mode), directory, path, flags);
}

/* What _FORTIFY_SOURCE makes of an open() whose flags the compiler doesn't know. */
extern int __open_2(const char *path, int flags);
extern int __openat_2(int directory, const char *path, int flags);

static int our_open_2(const char *path, int flags)
{
    return noted(__open_2(path, flags), AT_FDCWD, path, flags);
}

static int our_openat_2(int directory, const char *path, int flags)
{
    return noted(__openat_2(directory, path, flags), directory, path, flags);
}

static int our_creat(const char *path, mode_t mode)
{
    return noted(creat(path, mode), AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC);
}

static int flags_of(const char *mode)
{
    int flags = strchr(mode, '+') != NULL ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY;
    return flags | (*mode == 'w' ? O_CREAT | O_TRUNC : *mode == 'a' ? O_CREAT | O_APPEND : 0);
}

static FILE *our_fopen(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    (void)noted(file == NULL ? -1 : 0, AT_FDCWD, path, flags_of(mode));
    return file;
}

static DIR *our_opendir(const char *path)
{
    DIR *directory = opendir(path);
    (void)noted(directory == NULL ? -1 : 0, AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
    return directory;
}

/* On 64-bit Linux the functions for large files are the same ones under other names. */
static const struct gc_relinked ours[] = {
    {"open", (void *)our_open},
    {"open64", (void *)our_open},
    {"openat", (void *)our_openat},
    {"openat64", (void *)our_openat},
    {"__open_2", (void *)our_open_2},
    {"__open64_2", (void *)our_open_2},
    {"__openat_2", (void *)our_openat_2},
    {"__openat64_2", (void *)our_openat_2},
    {"creat", (void *)our_creat},
    {"creat64", (void *)our_creat},
    {"fopen", (void *)our_fopen},
    {"fopen64", (void *)our_fopen},
    {"opendir", (void *)our_opendir},
};

/* ---------------------------------------------------------------- who listens */

static int make_book(size_t notes_bytes)
{
    /* Taken from the system only as far as it is written to; less where a limit of addresses is set. */
    for (; notes_bytes >= UNIT_BYTES; notes_bytes >>= 1) {
        size_t bytes = sizeof(struct book) + notes_bytes;
        void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory != MAP_FAILED) {
            book = memory;
            book->room = notes_bytes / UNIT_BYTES;
            book->round = 1; /* a slot that is zero is free */
            return 0;
        }
    }
    return ENOMEM;
}

int gc_opens_install(const void *python, size_t notes_bytes)
{
#if defined(__x86_64__) || defined(__aarch64__)
    const void *const spared[] = {python};
    if (book == NULL && make_book(notes_bytes) != 0)
        return ENOMEM;
    (void)gc_relink(ours, sizeof ours / sizeof *ours, spared, 1);
    return 0;
#else
    (void)python, (void)notes_bytes;
    return ENOSYS;
#endif
}

void gc_opens_listen(bool on)
{
    atomic_fetch_add(&listeners, on ? 1 : -1);
}

/* Begin at the start again, all being taken, and note again what was noted. Whoever notes meanwhile is behind us, unless there
 * was no room any more. */
static void rewind_book(uint64_t end)
{
    if ((atomic_fetch_add(&book->round, 1) + 1) % (1u << ROUND_BITS) == 0) { /* rounds would come again: forget all of them */
        (void)madvise(book->seen, sizeof book->seen, MADV_REMOVE);
        atomic_fetch_add(&book->round, 1);
    }
    if (end > book->room)
        atomic_store(&book->end, 0);
    else if (!atomic_compare_exchange_strong(&book->end, &end, 0))
        return;
    book->taken = 0;
}

/* The size of the note at `taken`, once it is whole; 0 if it does not become so: its writer was killed, or there was no room. */
static uint64_t whole_units(uint64_t room)
{
    const struct timespec moment = {.tv_nsec = 100000};
    struct note *note = note_at(book->taken);
    uint64_t units = 0;
    for (int tries = 0; units == 0 && tries < TRIES; tries++) {
        if (tries >= SPINS)
            (void)nanosleep(&moment, NULL);
        units = atomic_load_explicit(&note->units, memory_order_acquire);
    }
    /* A writer that was given up may have written here late: nothing is believed that does not fit. */
    bool fits = units <= room && note->path_bytes < GC_OPENED_PATH_BYTES && note->path_bytes + sizeof *note <= units * UNIT_BYTES;
    return fits ? units : 0;
}

bool gc_opens_take(struct gc_opened *out)
{
    if (book == NULL)
        return false;
    uint64_t last = atomic_load(&book->end);
    uint64_t end = last < book->room ? last : book->room;
    if (book->taken >= end) {
        if (last != 0)
            rewind_book(last);
        return false;
    }
    struct note *note = note_at(book->taken);
    uint64_t units = whole_units(end - book->taken);
    if (units == 0) { /* where the next one begins is not known */
        atomic_fetch_add(&book->lost, 1);
        memset((void *)note, 0, (end - book->taken) * UNIT_BYTES);
        book->taken = end;
        return false;
    }
    out->thread = note->thread;
    out->flags = note->flags;
    out->path_bytes = note->path_bytes;
    memcpy(out->path, note->path, note->path_bytes);
    memset((void *)note, 0, units * UNIT_BYTES);
    book->taken += units;
    return true;
}

uint64_t gc_opens_lost(void)
{
    return book == NULL ? 0 : atomic_load(&book->lost);
}
