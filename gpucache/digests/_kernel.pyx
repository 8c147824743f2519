# distutils: sources = csrc/gc_digest.c csrc/gc_hash_avx2.c
"""Glue to csrc/gc_digest.c: a buffer in, 16 bytes out, no policy."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

cdef size_t RELEASE_GIL_FROM = 32768  # bytes, about 1.5 us: less than waiting for the GIL can cost


cdef extern from "gc_digest.h":
    void gc_hash128(const void *data, size_t size, uint64_t seed, uint8_t *out) noexcept nogil
    void gc_tree_digest(const void *data, size_t size, uint8_t *out) noexcept nogil
    void gc_tree_digest_threads(const void *data, size_t size, unsigned threads, uint8_t *out) noexcept nogil
    size_t gc_leaf_count(size_t size) noexcept nogil
    void gc_leaf_digests(const void *data, size_t size, size_t first, size_t last, uint8_t *out) noexcept nogil
    void gc_root_digest(const uint8_t *leaves, size_t count, uint64_t size, uint8_t *out) noexcept nogil


def hash128(bytes data not None, uint64_t seed=0):
    cdef uint8_t out[16]
    gc_hash128(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), seed, out)
    return PyBytes_FromStringAndSize(<char *> out, 16)


def tree_digest(data not None, unsigned threads=1):
    cdef uint8_t out[16]
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)  # any C-contiguous buffer, whatever its items
    try:
        if <size_t> view.len < RELEASE_GIL_FROM:
            gc_tree_digest(view.buf, view.len, out)
        else:
            with nogil:
                gc_tree_digest_threads(view.buf, view.len, threads, out)
    finally:
        PyBuffer_Release(&view)
    return PyBytes_FromStringAndSize(<char *> out, 16)


def leaf_digests(const uint8_t[::1] data not None):
    cdef size_t size = data.shape[0]
    cdef size_t count = gc_leaf_count(size)
    leaves = PyBytes_FromStringAndSize(NULL, 16 * count)
    cdef uint8_t *out = <uint8_t *> PyBytes_AS_STRING(leaves)
    cdef const uint8_t *start = &data[0] if size else NULL
    with nogil:
        gc_leaf_digests(start, size, 0, count, out)
    return leaves


def root_digest(const uint8_t[::1] leaves not None, uint64_t size):
    cdef uint8_t out[16]
    if leaves.shape[0] == 0 or leaves.shape[0] % 16:
        raise ValueError(f"{leaves.shape[0]} bytes are not the digests of leaves, 16 bytes each")
    gc_root_digest(&leaves[0], leaves.shape[0] // 16, size, out)
    return PyBytes_FromStringAndSize(<char *> out, 16)
