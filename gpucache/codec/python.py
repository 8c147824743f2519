"""Anything that pickles: cloudpickle, protocol 5, with the bulk out of band. Marked, because reading it runs code.

Buffers come out copy-on-write: libraries that write to their own arrays (scikit-learn, pandas) go on working, and nobody
else sees it. What would come back as something else is refused though it pickles: an open file (cloudpickle takes its text
along), a memoryview (it makes bytes of one), a gpucache.File (its path would be kept, not its content), a tensor with a
grad_fn. A class of the program's main file is found again there (main_class.py); everything else pickles as cloudpickle has it.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections.abc import Callable
from typing import Any

import msgspec

from gpucache.codec import code_file, main_class, tensor
from gpucache.codec.global_names import with_class_globals
from gpucache.codec.kinds import BULK_FROM_BYTES, Encoded, OpenPart, type_name
from gpucache.digests import File
from gpucache.digests.of_objects import forgotten
from gpucache.errors import NotStorable, RecordCorrupt

NAME = "python"
MAX_BUFFERS = 2**20

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(int).decode

_OPEN_FILES = (io.FileIO, io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair, io.TextIOWrapper)
_REMEDIES: tuple[tuple[Any, str], ...] = (
    ((types.GeneratorType, types.AsyncGeneratorType), "return list(...) of it"),
    (types.CoroutineType, "return what awaiting it gives"),
    (_OPEN_FILES, "close it and return gpucache.File(path)"),
    (File, "return the File or the Dir itself, or one Dir with all of them"),
    (memoryview, "return bytes(...) or an array"),
)


def _forgets(value: Any) -> bool:
    """Whether an array has attributes that a class of the user's adds, and that ndarray's own reduce knows nothing of.

    numpy's own matrix has one as well, which it makes anew by itself.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray) or type(value).__module__.partition(".")[0] == "numpy":
        return False
    return bool(forgotten(type(value), value))


class _Refused(Exception):  # carries a refusal out of pickle, whose own errors say less
    def __init__(self, value: object, why: str) -> None:
        super().__init__(why)
        self.value = value


def encode(value: Any) -> Encoded:
    """Any value that pickles.

    Raises:
        NotStorable: It doesn't, or would come back as something else.
    """
    buffers: list[Any] = []
    sink = io.BytesIO()
    try:
        _pickler()(sink, _out_of_band(buffers)).dump(value)
    except NotStorable:
        raise
    except _Refused as refusal:
        raise _not_storable(refusal.value, value, str(refusal)) from None
    except Exception as refusal:  # pickling runs the value's own methods, which may raise anything
        raise _not_storable(value, value, str(refusal) or type(refusal).__name__) from refusal
    return Encoded(NAME, _encode(len(buffers)), (sink.getbuffer(), *buffers), pickled=True)


def decode(meta: bytes, open_part: OpenPart) -> Any:
    """The value. Runs code: call it only for bytes of one's own.

    Raises:
        RecordCorrupt: It doesn't unpickle; a module or a class that it needs may be gone.
    """
    try:
        count = _decode(meta)
        if not 0 <= count <= MAX_BUFFERS:
            raise ValueError(f"{count} buffers")
    except ValueError as problem:  # msgspec's own are such
        raise RecordCorrupt(NAME, str(problem)) from problem
    text, buffers = open_part(0, False), [open_part(index, True) for index in range(1, count + 1)]
    try:
        return pickle.loads(text, buffers=buffers)
    except MemoryError:
        raise
    except Exception as problem:  # unpickling runs the value's own methods, which may raise anything
        raise RecordCorrupt(NAME, f"{type(problem).__name__}: {problem}") from problem


def _out_of_band(buffers: list[Any]) -> Callable[[pickle.PickleBuffer], bool]:
    """What pickle asks of each buffer: whether it is to stay in the pickle."""

    def stays(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < BULK_FROM_BYTES:
            return True
        buffers.append(raw)
        return False

    return stays


def _pickler() -> Any:
    """The pickler's class, made at first use: cloudpickle takes 10 ms to import."""
    if not _made:
        import cloudpickle

        class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
            """cloudpickle's, with our refusals and our ways for code, tensors and the main file's classes."""

            dispatch_table = code_file.dispatch_table()

            def __init__(self, sink: io.BytesIO, buffer_callback: Callable[[pickle.PickleBuffer], bool]) -> None:
                super().__init__(sink, protocol=5, buffer_callback=buffer_callback)
                self._of_torch: Any = None

            def reducer_override(self, value: Any) -> Any:
                if isinstance(value, type):
                    main_class.evaluated_annotations(value)
                    found = main_class.reduced(value)
                    return super().reducer_override(value) if found is None else found
                if isinstance(value, File):
                    raise _Refused(value, "within another value only its path would be kept, not its content")
                if isinstance(value, _OPEN_FILES) and value not in (sys.stdin, sys.stdout, sys.stderr):
                    raise _Refused(value, "it is an open file")
                if isinstance(value, memoryview):
                    raise _Refused(value, "it would come back as bytes")
                if _forgets(value):
                    raise _Refused(value, "its attributes would be lost: give its class __reduce__ and __setstate__")
                found = self._torchs(value) if "torch" in sys.modules else NotImplemented
                found = super().reducer_override(value) if found is NotImplemented else found
                return with_class_globals(value, found) if isinstance(value, types.FunctionType) else found

            def _torchs(self, value: Any) -> Any:
                if self._of_torch is None:
                    self._of_torch = tensor.storage_reducer()
                return self._of_torch(value)

        _made.append(Pickler)
    return _made[0]


_made: list[Any] = []


def _not_storable(culprit: object, value: object, why: str) -> NotStorable:
    remedy = next((remedy for kinds, remedy in _REMEDIES if isinstance(culprit, kinds)), None)
    if culprit is not value:
        why = f"it holds a {type_name(culprit)}: {why}"
    return NotStorable(type_name(value), why, remedy or "return what it is made from, or mark the task cache=False")
