"""A row's check, the look-up of a row, and what was made of it before: what every hit pays. transaction.py says what a row is; xxhash alone is the oracle."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memcpy

from lmdb import Error as LMDBError


cdef extern from *:
    """
    #define XXH_INLINE_ALL
    #include "xxhash.h"

    static void row_check(const void *data, size_t size, uint8_t *out) {
        XXH64_canonical_t canonical;
        XXH64_canonicalFromHash(&canonical, XXH3_64bits(data, size));
        memcpy(out, canonical.digest, 8);
    }
    """
    void row_check(const void *data, size_t size, uint8_t *out) nogil

cdef enum:
    CHECK = 8
    SMALL = 1024  # most rows are shorter than that, and take no memory to be checked

CHECK_BYTES = CHECK

cdef bytes ABSENT = b"no row"  # compared by identity


cdef int check_to(uint8_t *out, bytes name, bytes key, const char *body, Py_ssize_t body_bytes) except -1:
    """The check of a body under its key in the database of this name: of the three, one after the other."""
    cdef uint8_t small[SMALL]
    cdef uint8_t *whole = small
    cdef Py_ssize_t start = PyBytes_GET_SIZE(name), key_bytes = PyBytes_GET_SIZE(key)
    cdef Py_ssize_t size = start + key_bytes + body_bytes
    if size > SMALL:
        whole = <uint8_t *> PyMem_Malloc(size)
        if whole == NULL:
            raise MemoryError
    memcpy(whole, PyBytes_AS_STRING(name), start)
    memcpy(whole + start, PyBytes_AS_STRING(key), key_bytes)
    memcpy(whole + start + key_bytes, body, body_bytes)
    row_check(whole, size, out)
    if whole != small:
        PyMem_Free(whole)
    return 0


def checked(bytes name not None, bytes key not None, bytes body not None):
    cdef bytes row = PyBytes_FromStringAndSize(NULL, CHECK + PyBytes_GET_SIZE(body))
    cdef char *start = PyBytes_AS_STRING(row)
    memcpy(start + CHECK, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
    check_to(<uint8_t *> start, name, key, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
    return row


def body_of(bytes name not None, bytes key not None, bytes row not None):
    cdef uint8_t check[CHECK]
    cdef const char *start = PyBytes_AS_STRING(row)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(row) - CHECK
    if size < 0:
        return None
    check_to(check, name, key, start + CHECK, size)
    return PyBytes_FromStringAndSize(start + CHECK, size) if memcmp(check, start, CHECK) == 0 else None


cdef Py_ssize_t inside = 0
cdef bint is_closed = False


cdef inline bint enter() noexcept:
    global inside
    if is_closed:
        return False
    inside += 1
    return True


cdef inline void leave() noexcept:
    global inside
    inside -= 1


def keep_forever(value):
    Py_INCREF(value)


def try_to_enter():
    return bool(enter())


def leave_again():
    leave()


def set_gate(bint closed, bint nobody_inside=False):
    global is_closed, inside
    is_closed = closed
    if nobody_inside:
        inside = 0
    return inside


cdef class Getter:
    cdef object begin, database, slowly
    cdef bytes name

    def __init__(self, bytes name not None, slowly):
        self.name, self.slowly = name, slowly

    def set(self, begin, database):
        self.begin, self.database = begin, database

    def get(self, bytes key not None):
        cdef bytes row = self.raw(key), body
        if row is not None:
            if row is ABSENT:
                return None
            body = body_of(self.name, key, row)
            if body is not None:
                return body
        return self.slowly(key)

    cdef bytes raw(self, bytes key):
        """The row with its check; ABSENT if there is none, None if it must be looked up in the slow way."""
        cdef bytes row
        if self.begin is None or not enter():
            return None
        try:
            transaction = self.begin(self.database)
            row = transaction.get(key)
            transaction.abort()
        except LMDBError:
            return None
        finally:
            leave()
        return ABSENT if row is None else row

    cdef bint still_has(self, bytes key, bytes body):
        """Whether the row of this key has a body that was found right before."""
        cdef bytes row = self.raw(key)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(body)
        return (row is not None and PyBytes_GET_SIZE(row) == CHECK + size
                and memcmp(PyBytes_AS_STRING(row) + CHECK, PyBytes_AS_STRING(body), size) == 0)


cdef class Kept:
    cdef object row_of, answer_of
    cdef Getter getter
    cdef dict kept
    cdef Py_ssize_t row_max_bytes, max_count

    def __init__(self, row_of, answer_of, Py_ssize_t row_max_bytes, Py_ssize_t max_count):
        owner = getattr(row_of, "__self__", None)
        self.getter = owner if isinstance(owner, Getter) else None  # without Python in between
        self.row_of, self.answer_of, self.kept = row_of, answer_of, {}
        self.row_max_bytes, self.max_count = row_max_bytes, max_count

    def get(self, bytes key not None):
        cdef bytes row
        known = self.kept.get(key)
        if known is not None and self.getter is not None and self.getter.still_has(key, (<tuple> known)[0]):
            return (<tuple> known)[1]
        row = self.row_of(key)
        if row is None:
            return None
        if known is not None and (<tuple> known)[0] == row:
            return (<tuple> known)[1]
        answer, is_lasting = self.answer_of(row)
        if is_lasting and len(row) <= self.row_max_bytes:
            if len(self.kept) >= self.max_count:
                self.kept.clear()
            self.kept[key] = row, answer
        return answer

    def clear(self):
        self.kept.clear()
