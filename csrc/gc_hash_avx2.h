/* gc_hash128() for processors that have AVX2: the same digest, faster. See gc_digest.h. */
#ifndef GC_HASH_AVX2_H
#define GC_HASH_AVX2_H

#include <stddef.h>
#include <stdint.h>

/* Other compilers say targets otherwise, and other processors have none. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define GC_HAS_AVX2 1
#else
#define GC_HAS_AVX2 0
#endif

#if GC_HAS_AVX2
/* As gc_hash128(). Illegal instruction where __builtin_cpu_supports("avx2") is 0. */
void gc_hash128_avx2(const void *data, size_t size, uint64_t seed, uint8_t *out);
#endif

#endif
