/* XXH3-128 compiled for AVX2, whatever the rest is compiled for: reached only where the processor has it (gc_digest.c).
 *
 * AVX2 and not AVX-512: on the Zen 4 and Zen 5 that were measured the wider registers are slower (44 against 33 ms per GiB),
 * and what the baseline of x86-64 gives is SSE2 (40 ms).
 */
#include "gc_hash_avx2.h"

#if GC_HAS_AVX2
#pragma GCC target("avx2")
#define XXH_VECTOR 2 /* XXH_AVX2 */
#define XXH_INLINE_ALL
#include "xxhash.h"

void gc_hash128_avx2(const void *data, size_t size, uint64_t seed, uint8_t *out) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(data, size, seed));
    for (size_t i = 0; i < 16; i++) out[i] = canonical.digest[i];
}
#endif
