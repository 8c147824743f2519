#define XXH_INLINE_ALL
#include "gc_digest.h"
#include "gc_hash_avx2.h"

#include <pthread.h>
#include <stdlib.h>

#include "xxhash.h"

#define LEAF_SEED 0
#define ROOT_SEED 1

static void write_canonical(XXH128_hash_t hash, uint8_t *out) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    for (size_t i = 0; i < GC_DIGEST_BYTES; i++) out[i] = canonical.digest[i];
}

static void write_le64(uint64_t value, uint8_t *out) {
    for (int i = 0; i < 8; i++) out[i] = (uint8_t)(value >> (8 * i));
}

/* From here on wider registers are worth the look at what the processor has (1 ns). */
#define WIDE_FROM ((size_t)1024)

void gc_hash128(const void *data, size_t size, uint64_t seed, uint8_t *out) {
#if GC_HAS_AVX2
    if (size >= WIDE_FROM && __builtin_cpu_supports("avx2")) {
        gc_hash128_avx2(data, size, seed, out);
        return;
    }
#endif
    write_canonical(XXH3_128bits_withSeed(data, size, seed), out);
}

size_t gc_leaf_count(size_t size) { return size == 0 ? 1 : (size + GC_LEAF_BYTES - 1) / GC_LEAF_BYTES; }

void gc_leaf_digests(const void *data, size_t size, size_t first, size_t last, uint8_t *out) {
    const uint8_t *bytes = data;
    for (size_t leaf = first; leaf < last; leaf++) {
        size_t start = leaf * GC_LEAF_BYTES;
        size_t length = size - start < GC_LEAF_BYTES ? size - start : GC_LEAF_BYTES;
        gc_hash128(bytes + start, length, LEAF_SEED, out + GC_DIGEST_BYTES * leaf);
    }
}

void gc_root_digest(const uint8_t *leaves, size_t count, uint64_t size, uint8_t *out) {
    XXH3_state_t state;
    uint8_t length[8];
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset_withSeed(&state, ROOT_SEED);
    XXH3_128bits_update(&state, leaves, GC_DIGEST_BYTES * count);
    write_le64(size, length);
    XXH3_128bits_update(&state, length, sizeof length);
    write_canonical(XXH3_128bits_digest(&state), out);
}

void gc_tree_digest(const void *data, size_t size, uint8_t *out) {
    if (size <= GC_LEAF_BYTES) {
        gc_hash128(data, size, LEAF_SEED, out);
        return;
    }
    const uint8_t *bytes = data;
    XXH3_state_t state;
    uint8_t leaf[GC_DIGEST_BYTES], length[8];
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset_withSeed(&state, ROOT_SEED);
    for (size_t start = 0; start < size; start += GC_LEAF_BYTES) {
        size_t piece = size - start < GC_LEAF_BYTES ? size - start : GC_LEAF_BYTES;
        gc_hash128(bytes + start, piece, LEAF_SEED, leaf);
        XXH3_128bits_update(&state, leaf, sizeof leaf);
    }
    write_le64(size, length);
    XXH3_128bits_update(&state, length, sizeof length);
    write_canonical(XXH3_128bits_digest(&state), out);
}

typedef struct {
    const void *data;
    size_t size, first, last;
    uint8_t *leaves;
} share;

static void *digest_share(void *argument) {
    const share *mine = argument;
    gc_leaf_digests(mine->data, mine->size, mine->first, mine->last, mine->leaves);
    return NULL;
}

void gc_tree_digest_threads(const void *data, size_t size, unsigned threads, uint8_t *out) {
    size_t count = gc_leaf_count(size);
    if (threads > GC_MAX_THREADS) threads = GC_MAX_THREADS;
    if (threads > count) threads = (unsigned)count;
    uint8_t *leaves = threads > 1 ? malloc(GC_DIGEST_BYTES * count) : NULL;
    if (leaves == NULL) {
        gc_tree_digest(data, size, out);
        return;
    }
    pthread_t started[GC_MAX_THREADS];
    int is_started[GC_MAX_THREADS];
    share shares[GC_MAX_THREADS];
    for (unsigned i = threads; i-- > 0;) { /* this thread takes share 0, when the others are on their way */
        shares[i] = (share){data, size, count / threads * i, i + 1 == threads ? count : count / threads * (i + 1), leaves};
        is_started[i] = i > 0 && pthread_create(&started[i], NULL, digest_share, &shares[i]) == 0;
        if (!is_started[i]) digest_share(&shares[i]);
    }
    for (unsigned i = 1; i < threads; i++)
        if (is_started[i]) pthread_join(started[i], NULL);
    gc_root_digest(leaves, count, size, out);
    free(leaves);
}
