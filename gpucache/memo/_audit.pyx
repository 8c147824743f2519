# cython: boundscheck=False, wraparound=False
"""An audit hook that asks Python only about events that may matter: 25 ns for all others (most of it CPython's own), where a hook in Python costs 140.

Every id() is an event (copy.deepcopy makes thousands), so what a hook does with the rest is what it costs. Glue over
PySys_AddAuditHook (PEP 578), no policy: what matters is decided by the callback.
"""

from cpython.object cimport PyObject
from libc.string cimport strcmp


cdef extern from "Python.h":
    ctypedef int (*Py_AuditHookFunction)(const char *event, PyObject *arguments, void *data)
    int PySys_AddAuditHook(Py_AuditHookFunction hook, void *data) except -1


cdef object callback = None


cdef int heard(const char *event, PyObject *arguments, void *data) noexcept:
    # "open", "os.*", "pickle.*", "ctypes.dlopen", "import", "s*" (sqlite3, socket, subprocess, and sys.*, which are rare)
    if not (
        (event[0] == b"o" and ((event[1] == b"p" and event[2] == b"e") or (event[1] == b"s" and event[2] == b".")))
        or (event[0] == b"s" and event[1] != b"y")
        or (event[0] == b"p" and event[1] == b"i")
        or (event[0] == b"c" and strcmp(event, "ctypes.dlopen") == 0)
        or (event[0] == b"i" and strcmp(event, "import") == 0)
    ):
        return 0
    if callback is None or arguments == NULL:
        return 0
    try:
        callback(event.decode("ascii"), <object> arguments)
    except Exception:
        pass  # what is raised here would make the user's open() fail
    return 0


def install(hook):
    """Call hook(event, arguments) for those events from now on, in every thread; there is no way back."""
    global callback
    if callback is None:
        callback = hook
        PySys_AddAuditHook(heard, NULL)
