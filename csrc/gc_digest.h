/* The digest of bytes: XXH3-128 over a tree of 64 KiB leaves. gpucache/digests/tree.py is the reference.
 *
 * Functions of their arguments alone: any thread may call any of them, nothing is kept. Only gc_tree_digest_threads
 * allocates. Digests are written in XXH3's canonical form, 16 bytes, most significant first, on every machine.
 */
#ifndef GC_DIGEST_H
#define GC_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define GC_DIGEST_BYTES 16
#define GC_LEAF_BYTES ((size_t)65536)

/* More threads than this only queue for memory. */
#define GC_MAX_THREADS 64

/* XXH3-128 of data[0, size) with this seed. data may be NULL if size is 0. out has GC_DIGEST_BYTES. */
void gc_hash128(const void *data, size_t size, uint64_t seed, uint8_t *out);

/* The number of leaves of size bytes: at least 1. */
size_t gc_leaf_count(size_t size);

/* Digests of leaves [first, last) of data[0, size) to out + 16 * leaf: so threads can share the leaves of one buffer.
 * first <= last <= gc_leaf_count(size). */
void gc_leaf_digests(const void *data, size_t size, size_t first, size_t last, uint8_t *out);

/* The root of `count` leaf digests of data of `size` bytes. `leaves` has 16 * count bytes; out may not overlap it. */
void gc_root_digest(const uint8_t *leaves, size_t count, uint64_t size, uint8_t *out);

/* The tree digest of data[0, size), on this thread, without allocating. */
void gc_tree_digest(const void *data, size_t size, uint8_t *out);

/* The same on up to `threads` threads (this one among them, at most GC_MAX_THREADS), all ended on return. Where memory or
 * threads can't be had, those that are there do the work: there is no error, and one answer. */
void gc_tree_digest_threads(const void *data, size_t size, unsigned threads, uint8_t *out);

#endif
