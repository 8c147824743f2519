"""Code objects, pickled with the name of the file that they come from.

cloudpickle leaves it out from 3.1.3 on. Here a function's identity needs it (which module is this, which text was it
compiled from), and so does a traceback.
"""

from __future__ import annotations

import io
import types
from collections import ChainMap
from typing import Any

from gpucache.codec.global_names import with_class_globals


def dispatch_table() -> ChainMap[type, Any]:
    """For a subclass of cloudpickle.Pickler: its table, where code keeps its file."""
    import cloudpickle

    theirs = cloudpickle.Pickler.dispatch_table
    reduce_code = theirs[types.CodeType]

    def reduced(code: types.CodeType) -> tuple[Any, ...]:
        make, parts = reduce_code(code)
        return _made, (make, parts, code.co_filename)

    return ChainMap({types.CodeType: reduced}, theirs)


def dumps(value: object) -> bytes:
    """What cloudpickle.dumps() gives, with the files of code."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        dispatch_table = dispatch_table()

        def reducer_override(self, value: Any) -> Any:
            reduced = super().reducer_override(value)
            return with_class_globals(value, reduced) if isinstance(value, types.FunctionType) else reduced

    out = io.BytesIO()
    Pickler(out, protocol=5).dump(value)
    return out.getvalue()


def _made(make: Any, parts: tuple[Any, ...], file: str) -> types.CodeType:
    code: types.CodeType = make(*parts)
    return code if code.co_filename == file else code.replace(co_filename=file)
