"""What the driver and a worker say to each other, and how values travel in it.

Values travel by content where a store is at hand: arrays, tensors and tables of 16 KiB and more are written to the
store and only their manifest is pickled; the other side maps them. Everything else is pickled by cloudpickle, so that
functions of `__main__`, of notebooks and of other functions go by value. Without a store everything is pickled.
"""

from __future__ import annotations

import io
import pickle
import sys
import traceback
import types
from typing import TYPE_CHECKING, Any, Literal

import cloudpickle
import msgspec

from gpucache.codec import code_file
from gpucache.codec.global_names import with_class_globals
from gpucache.codec.main_class import evaluated_annotations
from gpucache.errors import NotIdentifiable, NotStorable, RemoteError, RemoteTraceback, StoreFull, StoreUnusable
from gpucache.workers import main_state

if TYPE_CHECKING:
    from gpucache.store import Store

Timed = Literal["", "call", "body"]

BY_CONTENT_MIN_BYTES = 16 * 2**10
"""Smaller arrays cost less in the pickle than a manifest does (FACTS: a blob is a file, an inline row 16 KiB at most)."""


class Module(msgspec.Struct, frozen=True, array_like=True):
    """The source of one module as the driver imported it. `search` are a package's own paths, None for a module.

    `text` None: what the driver imported can't be known any more, so the module may not be imported at all.
    """

    name: str
    file: str
    text: str | None
    search: tuple[str, ...] | None


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """Worker to driver, first: I am here."""

    worker: int
    pid: int


class Setup(msgspec.Struct, frozen=True, array_like=True, tag="setup"):
    """Driver to worker, first: what to be like. The payload is the pickled (initializer, initargs), or nothing."""

    worker: int
    name: str
    device: str
    gpus: tuple[str, ...]
    cwd: str
    sys_path: tuple[str, ...]
    modules: tuple[Module, ...]


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """Worker to driver: give me calls."""

    pid: int


class Broken(msgspec.Struct, frozen=True, array_like=True, tag="broken"):
    """Worker to driver: the initializer raised; the payload is its exception."""


class NewModules(msgspec.Struct, frozen=True, array_like=True, tag="modules"):
    """Driver to worker: modules that the driver has imported since."""

    modules: tuple[Module, ...]


class Call(msgspec.Struct, frozen=True, array_like=True, tag="call"):
    """Driver to worker: run this. The payload is the pickled (fn, args, kwargs).

    `timed`: say Begun when the function begins ("call"), or when it says so itself ("body"); "": nobody wants to know.
    """

    call: int
    store: str | None = None
    rank: int = 0
    size: int = 1
    timed: Timed = ""


class Begun(msgspec.Struct, frozen=True, array_like=True, tag="begun"):
    """Worker to driver: what was to be imported and loaded for a timed call is there, and it runs."""

    call: int


class Holding(msgspec.Struct, frozen=True, array_like=True):
    """What a worker holds, by its own account.

    Attributes:
        residents: Name of each, and the device memory that its loader declares.
        device_bytes: Of each of its GPUs, in their order, what PyTorch keeps there; () where PyTorch is not in use.
    """

    residents: tuple[tuple[str, int | None], ...]
    device_bytes: tuple[int, ...]


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    """Worker to driver: a call has ended; the payload is its pickled result, or exception if not ok.

    `holding`: what the worker holds now, if that is not what it said last.
    """

    call: int
    ok: bool
    holding: Holding | None = None


class Stale(msgspec.Struct, frozen=True, array_like=True, tag="stale"):
    """Worker to driver: I had imported another text of a module than the driver has; replace me. Nothing was run."""

    module: str


class Stop(msgspec.Struct, frozen=True, array_like=True, tag="stop"):
    """Driver to worker: end when idle."""


Message = Hello | Setup | Ready | Broken | NewModules | Call | Begun | Answer | Stale | Stop

encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
decode = _decoder.decode


def dumps(value: object, store: Store | None = None, *, keeps_main: bool = False) -> bytes:
    """Pickle a value for the other side; large arrays in it go through `store`, if there is one.

    Args:
        keeps_main: The worker keeps the main file's globals from call to call (main_state.py).

    Raises:
        Whatever the value's own pickling raises: pickle.PicklingError, TypeError, ...
    """
    return _dumps(value, store, set() if keeps_main else None)


def _dumps(value: object, store: Store | None, main_names: set[str] | None) -> bytes:
    out = io.BytesIO()
    pickler = _Pickler(out, protocol=5) if store is None else _PicklerByContent(out, store)
    pickler.main_names = main_names
    pickler.dump(value)
    return out.getvalue()


def loads(data: bytes | memoryview, store: Store | None = None) -> Any:  # whatever was sent
    """What dumps() was given; arrays that went through the store are mapped, and read-only."""
    if store is None:
        return pickle.loads(data)  # comes over a channel that only our own workers and driver have
    return _UnpicklerByContent(io.BytesIO(data), store).load()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    dispatch_table = code_file.dispatch_table()
    main_names: set[str] | None = (
        None  # globals of the main file that the message has by now; None: they don't go by name
    )

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, memoryview):
            raise pickle.PicklingError("a memoryview would arrive as bytes; pass bytes(...) of it")
        if sys.version_info >= (3, 14) and isinstance(value, type):
            evaluated_annotations(value)
        reduced = super().reducer_override(value)
        if not isinstance(value, types.FunctionType):
            return reduced
        reduced = with_class_globals(value, reduced)
        names = self.main_names
        return (
            reduced if names is None else main_state.shared(value, reduced, names, lambda one: _dumps(one, None, names))
        )


class _PicklerByContent(_Pickler):
    def __init__(self, out: io.BytesIO, store: Store) -> None:
        super().__init__(out, protocol=5)
        self._store = store
        self._types = _types_by_content()

    def persistent_id(self, value: object) -> bytes | None:
        if type(value) not in self._types or _size_bytes(value) < BY_CONTENT_MIN_BYTES:
            return None
        from gpucache import digests

        digest = digests.remembered(value)
        manifest = None if digest is None else self._store.manifest_of(digest)
        if manifest is None:
            try:
                manifest = self._store.write(value, digest if digest is not None else digests.value_digest(value))
            except (NotStorable, NotIdentifiable, StoreFull, StoreUnusable):
                return None  # it travels as any other value
        return msgspec.msgpack.encode(manifest)


class _UnpicklerByContent(pickle.Unpickler):
    def __init__(self, data: io.BytesIO, store: Store) -> None:
        super().__init__(data)
        self._store = store
        self._read: dict[bytes, object] = {}

    def persistent_load(self, pid: bytes) -> object:
        if pid not in self._read:
            from gpucache.store import Manifest

            self._read[pid] = self._store.read(msgspec.msgpack.decode(pid, type=Manifest))
        return self._read[pid]


def _types_by_content() -> frozenset[type]:
    names = (("numpy", "ndarray"), ("torch", "Tensor"), ("pyarrow", "Table"), ("pyarrow", "RecordBatch"))
    found = (getattr(sys.modules.get(module), name, None) for module, name in names)
    return frozenset(kind for kind in found if isinstance(kind, type))


def _size_bytes(value: Any) -> int:  # one of _types_by_content
    if getattr(value, "dtype", None) == object:  # noqa: E721  # a dtype, which compares so
        return 0  # an object array has no bytes of its own: pickle walks it
    if getattr(value, "is_cuda", False) or getattr(value, "requires_grad", False):
        return 0
    return int(value.nbytes)


def dump_exception(raised: BaseException) -> bytes:
    """Pickle an exception so that it arrives whole: same type, arguments and attributes, its traceback as text in __cause__.

    One whose __init__ wants other arguments than its `args` is made again without it, which pickle would not do. One whose
    arguments or attributes can't be pickled arrives as RemoteError.
    """
    text = "".join(traceback.format_exception(raised))
    shown, travels = _shown(raised), None
    for form in (raised, _WithoutInit(raised)):
        data = _dumped(form, text)
        if data is not None and _shown(loads(data)[0]) == shown:  # an __init__ may make another text of the one it made
            return data
        travels = travels or data
    return travels or dumps((RemoteError(type(raised).__qualname__, shown), text))


def _dumped(form: object, text: str) -> bytes | None:
    try:
        data = dumps((form, text))
        loads(data)
    except Exception:  # noqa: BLE001  # an edge: whatever the user's own __reduce__ or __init__ raises
        return None
    return data


class _WithoutInit:
    """An exception, pickled by its arguments and attributes alone."""

    def __init__(self, raised: BaseException) -> None:
        self._raised = raised

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self._raised), self._raised.args, self._raised.__dict__)


def _made(kind: type[BaseException], args: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    made = kind.__new__(kind, *args)
    made.args = args
    made.__dict__.update(attributes)
    return made


def load_exception(data: bytes | memoryview) -> BaseException:
    """The exception that dump_exception was given, with the remote traceback as its cause."""
    raised, text = loads(data)
    raised.__cause__ = RemoteTraceback(text)
    return raised  # type: ignore[no-any-return]  # the first of the pair is one


def _shown(raised: BaseException) -> str:
    try:
        return str(raised)
    except Exception:  # noqa: BLE001  # a user's __str__ may raise anything
        return "(its text could not be made)"
