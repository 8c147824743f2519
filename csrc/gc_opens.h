/* Which files native code opens: libraries' calls of open(), fopen() and their kin are noted while somebody listens.
 *
 * What Python itself opens it tells by audit events; what Arrow, HDF5, OpenCV or a library in Rust opens, nobody tells. Here each
 * library's import of those functions is pointed at one of ours (gc_relink.h), which calls the C library's and notes what
 * succeeded. Not seen: system calls that go round the C library, and what the C library opens for itself.
 *
 * Notes lie in memory that forked children share, so what they open is noted, too. Nobody waits for anybody: a note takes one
 * atomic addition and a copy.
 */
#ifndef GC_OPENS_H
#define GC_OPENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GC_OPENED_PATH_BYTES = 4096 };

struct gc_opened {
    uint64_t thread;     /* pthread_self() of who opened it, Python's threading.get_ident() */
    int32_t flags;       /* open(2)'s */
    uint32_t path_bytes; /* of the path, as it was given, or below the directory whose descriptor was given */
    char path[GC_OPENED_PATH_BYTES];
};

/* Have what libraries loaded by now open noted, also those loaded since the last call. Hold the GIL.
 * `python`: an address within Python itself, whose own calls are not noted.
 * `notes_bytes`: room for notes that nobody has taken yet, at the first call; half of it, and so on, where there is less.
 * Returns 0, or an errno: ENOMEM where there is no room for notes, ENOSYS on a machine where slots can't be changed. */
int gc_opens_install(const void *python, size_t notes_bytes);

/* Note from now on, or no more. Any thread. */
void gc_opens_listen(bool on);

/* Take the oldest note. Returns whether there was one. Hold the GIL. */
bool gc_opens_take(struct gc_opened *out);

/* How many were not noted, for want of room or since a child was killed while it noted. Grows only. */
uint64_t gc_opens_lost(void);

#endif
