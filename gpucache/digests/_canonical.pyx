# distutils: sources = csrc/gc_digest.c csrc/gc_hash_avx2.c
"""The canonical encoding of built-in types, natively; canonical.py is the oracle and writes the same bytes.

Here is no path to a value and no search for cycles: what fails here is encoded again by the oracle, which can say where and why.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.complex cimport PyComplex_ImagAsDouble, PyComplex_RealAsDouble
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.ref cimport Py_TYPE, PyTypeObject
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from gpucache.digests.canonical import MAX_DEPTH, encode as _oracle, encode_other
from gpucache.digests.known import note_view, remembered
from gpucache.errors import NotIdentifiable

cdef int DEPTH = MAX_DEPTH
cdef size_t RELEASE_GIL_FROM = 32768  # bytes, as in _kernel.pyx


cdef extern from "gc_digest.h":
    void gc_hash128(const void *data, size_t size, uint64_t seed, uint8_t *out) noexcept nogil
    void gc_tree_digest(const void *data, size_t size, uint8_t *out) noexcept nogil


cdef extern from "Python.h":
    int64_t PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    int PyUnicode_IS_COMPACT_ASCII(object text)


cdef class TooDeep(Exception):
    pass


cdef struct Out:
    uint8_t *data  # `small`, or memory of our own once that is full
    size_t size
    size_t room
    uint8_t small[1024]


cdef inline void begin(Out *out) noexcept:
    out.data, out.size, out.room = out.small, 0, sizeof(out.small)


cdef inline void end(Out *out) noexcept:
    if out.data != out.small:
        PyMem_Free(out.data)


cdef int grow(Out *out, size_t more) except -1:
    cdef size_t room = max(out.room * 2, out.size + more)
    cdef uint8_t *data
    if out.data == out.small:
        data = <uint8_t *> PyMem_Malloc(room)
        if data != NULL:
            memcpy(data, out.small, out.size)
    else:
        data = <uint8_t *> PyMem_Realloc(out.data, room)
    if data == NULL:
        raise MemoryError(f"no {room:,} bytes for the encoding of a value")
    out.data, out.room = data, room
    return 0


cdef inline int need(Out *out, size_t more) except -1:
    if out.room - out.size < more:
        grow(out, more)
    return 0


cdef inline void put64(Out *out, uint64_t value) noexcept:
    cdef int i
    for i in range(8):
        out.data[out.size + i] = <uint8_t> (value >> (8 * i))
    out.size += 8


cdef inline int head(Out *out, uint8_t tag, uint64_t length) except -1:
    need(out, 9)
    out.data[out.size] = tag
    out.size += 1
    put64(out, length)
    return 0


cdef inline int raw(Out *out, const void *data, size_t size) except -1:
    need(out, size)
    memcpy(out.data + out.size, data, size)
    out.size += size
    return 0


cdef inline int tag(Out *out, uint8_t letter) except -1:
    need(out, 1)
    out.data[out.size] = letter
    out.size += 1
    return 0


cdef int put_double(Out *out, double value) except -1:
    cdef uint64_t bits
    memcpy(&bits, &value, 8)
    need(out, 8)
    put64(out, bits)
    return 0


cdef int put_int(Out *out, object value) except -1:
    cdef int overflow = 0
    cdef int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow)
    cdef uint64_t rest
    cdef int bits = 0, length, i
    if overflow:
        encoded = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
        head(out, c'i', PyBytes_GET_SIZE(encoded))
        return raw(out, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))
    rest = <uint64_t> number if number >= 0 else 0 - <uint64_t> number
    while rest:
        rest >>= 1
        bits += 1
    length = (bits + 8) // 8
    head(out, c'i', length)
    need(out, length)
    for i in range(length):
        # The ninth byte of a 64-bit number is its sign.
        out.data[out.size + i] = <uint8_t> (number >> (8 * i if i < 8 else 63))
    out.size += length
    return 0


cdef int put_str(Out *out, str value) except -1:
    cdef Py_ssize_t size
    cdef const char *text
    if PyUnicode_IS_COMPACT_ASCII(value):
        text = PyUnicode_AsUTF8AndSize(value, &size)
        head(out, c's', size)
        return raw(out, text, size)
    # Not PyUnicode_AsUTF8AndSize: it would keep a second copy of the text within the string.
    encoded = value.encode("utf-8", "surrogatepass")
    head(out, c's', PyBytes_GET_SIZE(encoded))
    return raw(out, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))


cdef int put_set(Out *out, object value, object symbols, int depth, uint8_t letter) except -1:
    items = [encode_at(item, symbols, depth + 1) for item in value]
    items.sort()
    head(out, letter, len(items))
    for item in items:
        need(out, 8)
        put64(out, PyBytes_GET_SIZE(item))
        raw(out, PyBytes_AS_STRING(item), PyBytes_GET_SIZE(item))
    return 0


cdef int put_dict(Out *out, dict value, object symbols, int depth) except -1:
    head(out, c'd', len(value))
    for key, item in value.items():
        put(out, key, symbols, depth + 1)
        put(out, item, symbols, depth + 1)
    return 0


cdef int put_container(Out *out, object value, PyTypeObject *kind, object symbols, int depth) except -1:
    if depth >= DEPTH:
        raise TooDeep()
    if kind == <PyTypeObject *> tuple:
        head(out, c't', len(<tuple> value))
        for item in <tuple> value:
            put(out, item, symbols, depth + 1)
    elif kind == <PyTypeObject *> list:
        head(out, c'l', len(<list> value))
        for item in <list> value:
            put(out, item, symbols, depth + 1)
    elif kind == <PyTypeObject *> dict:
        put_dict(out, <dict> value, symbols, depth)
    elif kind == <PyTypeObject *> set:
        put_set(out, value, symbols, depth, c'S')
    else:
        put_set(out, value, symbols, depth, c'Z')
    return 0


cdef int put(Out *out, object value, object symbols, int depth) except -1:
    cdef PyTypeObject *kind = Py_TYPE(value)
    if kind == <PyTypeObject *> str:
        return put_str(out, <str> value)
    if kind == <PyTypeObject *> int:
        return put_int(out, value)
    if kind == <PyTypeObject *> float:
        tag(out, c'f')
        return put_double(out, PyFloat_AS_DOUBLE(value))
    if value is None:
        return tag(out, c'N')
    if value is True:
        return tag(out, c'T')
    if value is False:
        return tag(out, c'F')
    if kind == <PyTypeObject *> bytes:
        head(out, c'b', PyBytes_GET_SIZE(value))
        return raw(out, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    if (kind == <PyTypeObject *> tuple or kind == <PyTypeObject *> list or kind == <PyTypeObject *> dict
            or kind == <PyTypeObject *> set or kind == <PyTypeObject *> frozenset):
        return put_container(out, value, kind, symbols, depth)
    if kind == <PyTypeObject *> complex:
        tag(out, c'c')
        put_double(out, PyComplex_RealAsDouble(value))
        return put_double(out, PyComplex_ImagAsDouble(value))
    if kind == <PyTypeObject *> bytearray:
        encoded = bytes(value)
        head(out, c'B', PyBytes_GET_SIZE(encoded))
    else:
        encoded = encode_other(value, symbols, depth, encode_at)
    return raw(out, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))


cdef bint is_builtin(object value):
    cdef PyTypeObject *kind = Py_TYPE(value)
    return (kind == <PyTypeObject *> str or kind == <PyTypeObject *> tuple or kind == <PyTypeObject *> int
            or kind == <PyTypeObject *> float or kind == <PyTypeObject *> dict or kind == <PyTypeObject *> list)


def encode_at(value, symbols, int depth):
    cdef Out out
    begin(&out)
    try:
        put(&out, value, symbols, depth)
        return PyBytes_FromStringAndSize(<char *> out.data, out.size)
    finally:
        end(&out)


def encode(value, *, symbols=None, name=""):
    try:
        return encode_at(value, symbols, 0)
    except (NotIdentifiable, RecursionError, TooDeep):
        pass
    return _oracle(value, symbols=symbols, name=name)


def value_digest(value, *, symbols=None, name=""):
    cdef Out out
    cdef uint8_t digest[16]
    cdef bint is_done = False
    cdef bint may_be_view = not is_builtin(value)
    if may_be_view:
        known = remembered(value)
        if known is not None:
            return known
    begin(&out)
    try:
        try:
            put(&out, value, symbols, 0)
            is_done = True
        except (NotIdentifiable, RecursionError, TooDeep):
            pass
        if not is_done:  # outside of the except: its error is not the context of the one to come
            end(&out)
            begin(&out)
            encoded = _oracle(value, symbols=symbols, name=name)
            raw(&out, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))
        if out.size < RELEASE_GIL_FROM:
            gc_tree_digest(out.data, out.size, digest)
        else:
            with nogil:
                gc_tree_digest(out.data, out.size, digest)
        found = PyBytes_FromStringAndSize(<char *> digest, 16)
        if may_be_view:
            note_view(value, found)
        return found
    finally:
        end(&out)


def combine(*parts):
    cdef Out out
    cdef uint8_t digest[16]
    begin(&out)
    try:
        for part in parts:
            if not isinstance(part, bytes):
                raise TypeError(f"combine() takes bytes, not {type(part).__name__}")
            need(&out, 8)
            put64(&out, PyBytes_GET_SIZE(part))
            raw(&out, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
        gc_hash128(out.data, out.size, 2, digest)  # a seed of its own: never taken for a leaf or a root
        return PyBytes_FromStringAndSize(<char *> digest, 16)
    finally:
        end(&out)


cdef inline bint is_scalar(object value):
    cdef PyTypeObject *kind = Py_TYPE(value)
    return (kind == <PyTypeObject *> int or kind == <PyTypeObject *> str or kind == <PyTypeObject *> float
            or kind == <PyTypeObject *> bool or value is None or kind == <PyTypeObject *> bytes)


def key_of_scalars(bytes header not None, tuple values not None, tuple counted not None):
    cdef Out out, keyed
    cdef uint8_t digest[16]
    begin(&out)
    begin(&keyed)
    try:
        raw(&keyed, PyBytes_AS_STRING(header), PyBytes_GET_SIZE(header))
        for index in counted:
            value = values[index]
            if not is_scalar(value):
                return None
            out.size = 0
            put(&out, value, None, 0)
            gc_tree_digest(out.data, out.size, digest)
            raw(&keyed, digest, 16)
        gc_hash128(keyed.data, keyed.size, 0, digest)
        return PyBytes_FromStringAndSize(<char *> digest, 16)
    finally:
        end(&out)
        end(&keyed)
