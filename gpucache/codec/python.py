"""Anything that pickles: cloudpickle, protocol 5, with the bulk out of band. Marked, because reading it runs code.

Buffers come out copy-on-write: libraries that write to their own arrays (scikit-learn, pandas) go on working, and nobody
else sees it.
"""

from __future__ import annotations

import pickle
from typing import Any

from gpucache.codec.kinds import Encoded, OpenPart
from gpucache.errors import NotStorable, RecordCorrupt

NAME = "python"
OUT_OF_BAND_FROM_BYTES = 4096
"""Smaller buffers stay in the pickle: a part of their own would cost more than it saves."""


def encode(value: Any) -> Encoded:
    """Any value that pickles.

    Raises:
        NotStorable: It doesn't.
    """
    import cloudpickle

    buffers: list[Any] = []

    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND_FROM_BYTES:
            return True
        buffers.append(raw)
        return False

    try:
        text = cloudpickle.dumps(value, protocol=5, buffer_callback=keep_in_band)
    except Exception as refusal:  # pickling runs the value's own methods, which may raise anything
        kind = type(value)
        raise NotStorable(
            f"{kind.__module__}.{kind.__qualname__}", str(refusal), "return what it is made from, or mark the task cache=False"
        ) from refusal
    return Encoded(NAME, b"", (text, *buffers), pickled=True)


def decode(open_part: OpenPart, part_count: int) -> Any:
    """The value. Runs code: call it only for bytes of one's own.

    Raises:
        RecordCorrupt: It doesn't unpickle.
    """
    try:
        return pickle.loads(open_part(0, False), buffers=[open_part(index, True) for index in range(1, part_count)])
    except Exception as problem:
        raise RecordCorrupt(NAME, f"{type(problem).__name__}: {problem}") from problem
