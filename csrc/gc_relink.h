/* Point the functions that loaded libraries import at others of the same type: what LD_PRELOAD does, in a process that runs.
 *
 * A library calls `open` through a slot of its own that the dynamic linker filled in (its GOT: System V ABI, chapter 5). Those
 * slots are what is changed, for every library that is loaded now; libraries loaded later are found by calling again.
 */
#ifndef GC_RELINK_H
#define GC_RELINK_H

#include <stddef.h>

/* One import: its name, and what to point it at. */
struct gc_relinked {
    const char *name;
    void *to;
};

/* Change the slots of all libraries loaded since the last call.
 *
 * Left alone: the C library and the dynamic linker, the library that holds any of the `spared` addresses, and this one.
 * Not thread safe against itself: hold the GIL. Other threads may run, call through the slots, and load libraries.
 * Returns how many slots were changed (0 also where this machine is neither x86-64 nor AArch64, and for a library whose
 * pages can't be made writable).
 */
size_t gc_relink(const struct gc_relinked *table, size_t count, const void *const *spared, size_t spared_count);

#endif
