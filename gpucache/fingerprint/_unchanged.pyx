# cython: boundscheck=False, wraparound=False
"""Whether names, functions, cells and classes are bound to what they were bound to: compared by identity, in one C loop.

Glue over CPython's own structures, no policy: what to compare is decided in current.py; unchanged_reference.py is the oracle.
A namespace that was not touched at all since the last look is known by its version tag (PEP 509; CPython before 3.12),
a class by its own (Include/cpython/object.h); only what was touched is compared name by name. Every pointer read here is
borrowed from a tuple that this object owns.
"""

from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

cdef extern from *:
    """
    #include <stdint.h>
    static inline uint64_t gc_namespace_version(PyObject *namespace) {
    #if PY_VERSION_HEX < 0x030C0000
        return ((PyDictObject *)namespace)->ma_version_tag;  /* never 0 */
    #else
        (void)namespace;
        return 0;
    #endif
    }
    static inline uint64_t gc_class_version(PyObject *cls) {
    #if PY_VERSION_HEX < 0x030C0000
        PyTypeObject *type = (PyTypeObject *)cls;
        return PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG) ? type->tp_version_tag : 0;
    #else
        (void)cls;
        return 0;
    #endif
    }
    static inline int gc_same_function(PyObject *function, PyObject *code, PyObject *defaults, PyObject *kwdefaults) {
        PyObject *now_defaults = PyFunction_GET_DEFAULTS(function), *now_kwdefaults = PyFunction_GET_KW_DEFAULTS(function);
        return PyFunction_GET_CODE(function) == code
            && (now_defaults ? now_defaults : Py_None) == defaults
            && (now_kwdefaults ? now_kwdefaults : Py_None) == kwdefaults;
    }
    static inline int gc_same_cell(PyObject *cell, PyObject *content, PyObject *missing) {
        PyObject *now = PyCell_GET(cell);
        return (now ? now : missing) == content;
    }
    """
    uint64_t gc_namespace_version(PyObject *namespace) noexcept
    uint64_t gc_class_version(PyObject *cls) noexcept
    bint gc_same_function(PyObject *function, PyObject *code, PyObject *defaults, PyObject *kwdefaults) noexcept
    bint gc_same_cell(PyObject *cell, PyObject *content, PyObject *missing) noexcept


cdef class Unchanged:
    """See current.Current for what the arguments are. Any thread may call, holding the GIL."""

    cdef readonly tuple namespaces, names, contents, functions, cells, classes, attributes
    cdef object missing
    cdef uint64_t *c_namespace_versions
    cdef uint64_t *c_class_versions

    def __cinit__(self, tuple namespaces, tuple names, tuple contents, tuple functions, tuple cells, tuple classes, object missing):
        self.c_namespace_versions = NULL
        self.c_class_versions = NULL
        self.namespaces, self.names, self.contents = namespaces, names, contents
        self.functions, self.cells, self.classes, self.missing = functions, cells, classes, missing
        self.attributes = tuple([tuple(vars(cls).values()) for cls in classes])
        self.c_namespace_versions = <uint64_t *> calloc(len(namespaces) + 1, sizeof(uint64_t))
        self.c_class_versions = <uint64_t *> calloc(len(classes) + 1, sizeof(uint64_t))
        if self.c_namespace_versions == NULL or self.c_class_versions == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.c_namespace_versions)
        free(self.c_class_versions)

    def check(self) -> bool:
        """Compare everything; False at the first difference."""
        cdef Py_ssize_t i
        cdef uint64_t version
        cdef PyObject *namespace
        for i in range(PyTuple_GET_SIZE(self.namespaces)):
            namespace = PyTuple_GET_ITEM(self.namespaces, i)
            version = gc_namespace_version(namespace)
            if version == 0 or version != self.c_namespace_versions[i]:
                if not self.same_names(i):
                    return False
                self.c_namespace_versions[i] = version
        for i in range(0, PyTuple_GET_SIZE(self.functions), 4):
            if not gc_same_function(
                PyTuple_GET_ITEM(self.functions, i),
                PyTuple_GET_ITEM(self.functions, i + 1),
                PyTuple_GET_ITEM(self.functions, i + 2),
                PyTuple_GET_ITEM(self.functions, i + 3),
            ):
                return False
        for i in range(0, PyTuple_GET_SIZE(self.cells), 2):
            if not gc_same_cell(PyTuple_GET_ITEM(self.cells, i), PyTuple_GET_ITEM(self.cells, i + 1), <PyObject *> self.missing):
                return False
        for i in range(PyTuple_GET_SIZE(self.classes)):
            version = gc_class_version(PyTuple_GET_ITEM(self.classes, i))
            if version == 0 or version != self.c_class_versions[i]:
                if not self.same_class(i):
                    return False
        return True

    cdef int same_names(self, Py_ssize_t i) except -1:
        cdef tuple names = <tuple> PyTuple_GET_ITEM(self.names, i)
        cdef tuple contents = <tuple> PyTuple_GET_ITEM(self.contents, i)
        cdef PyObject *namespace = PyTuple_GET_ITEM(self.namespaces, i)
        cdef PyObject *now
        cdef Py_ssize_t j
        for j in range(PyTuple_GET_SIZE(names)):
            now = PyDict_GetItemWithError(<object> namespace, <object> PyTuple_GET_ITEM(names, j))
            if now == NULL:
                now = <PyObject *> self.missing
            if now != PyTuple_GET_ITEM(contents, j):
                return 0
        return 1

    cdef int same_class(self, Py_ssize_t i) except -1:
        cls = self.classes[i]
        type.__getattribute__(cls, "__init__")  # a lookup gives a class that was touched a version again
        cdef uint64_t version = gc_class_version(<PyObject *> cls)
        now = tuple(vars(cls).values())
        before = <tuple> self.attributes[i]
        if len(now) != len(before):
            return 0
        for one, other in zip(now, before):
            if one is not other:
                return 0
        self.c_class_versions[i] = version
        return 1
