"""Words of 32 bits in a file's first page, shared by every process that maps it, and waited for with the kernel's futex."""

from cpython.exc cimport PyErr_SetFromErrno
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t


cdef extern from "<sys/mman.h>" nogil:
    enum: PROT_READ
    enum: PROT_WRITE
    enum: MAP_SHARED
    void *MAP_FAILED
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)

cdef extern from *:
    """
    #define _GNU_SOURCE
    #include <linux/futex.h>
    #include <stdbool.h>
    #include <stdint.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>

    static uint32_t word_get(uint32_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }

    static void word_set(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }

    static bool word_swap(uint32_t *word, uint32_t before, uint32_t after) {
        return __atomic_compare_exchange_n(word, &before, after, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }

    /* Both without FUTEX_PRIVATE_FLAG: who waits and who wakes are in different processes. */
    static void word_wait(uint32_t *word, uint32_t seen, double timeout_s) {
        struct timespec limit = {(time_t)timeout_s, (long)((timeout_s - (double)(time_t)timeout_s) * 1e9)};
        syscall(SYS_futex, word, FUTEX_WAIT, seen, &limit, NULL, 0);
    }

    static void word_wake(uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0); }
    """
    uint32_t word_get(uint32_t *word) nogil
    void word_set(uint32_t *word, uint32_t value) nogil
    bint word_swap(uint32_t *word, uint32_t before, uint32_t after) nogil
    void word_wait(uint32_t *word, uint32_t seen, double timeout_s) nogil
    void word_wake(uint32_t *word) nogil


cdef class Words:
    cdef uint32_t *_start
    cdef readonly Py_ssize_t count

    def __cinit__(self, int descriptor, Py_ssize_t count):
        self._start = NULL
        self.count = count
        if count <= 0:
            raise ValueError("there is at least one word")
        start = mmap(NULL, count * sizeof(uint32_t), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        if start == MAP_FAILED:
            PyErr_SetFromErrno(OSError)
        self._start = <uint32_t *> start

    def __dealloc__(self):
        if self._start != NULL:
            munmap(self._start, self.count * sizeof(uint32_t))

    cdef uint32_t *_at(self, Py_ssize_t index) except NULL:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self._start + index

    def get(self, Py_ssize_t index):
        return word_get(self._at(index))

    def set(self, Py_ssize_t index, uint32_t value):
        word_set(self._at(index), value)

    def swap(self, Py_ssize_t index, uint32_t before, uint32_t after):
        return word_swap(self._at(index), before, after)

    def wait(self, Py_ssize_t index, uint32_t seen, double timeout_s):
        cdef uint32_t *word = self._at(index)
        with nogil:
            word_wait(word, seen, timeout_s)

    def wake(self, Py_ssize_t index):
        word_wake(self._at(index))

    def odd(self):
        cdef Py_ssize_t index
        found = []
        for index in range(self.count):
            if word_get(self._start + index) & 1:
                found.append(index)
        return found
