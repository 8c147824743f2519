"""A value in a few words, for people: never more than a line, never slow, never an exception."""

from __future__ import annotations

import re
import reprlib

LONGEST = 80

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # says nothing to people, and differs in every process

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = LONGEST
_brief.maxlevel = 3
_brief.maxlist = _brief.maxtuple = _brief.maxdict = _brief.maxset = 6


def shown(value: object) -> str:
    """Return `float32[1000, 64]` for what has dtype and shape, a shortened repr for anything else."""
    try:
        dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
        if dtype is not None and shape is not None and not isinstance(value, type) and len(shape) > 0:
            text = f"{dtype}[{', '.join(str(length) for length in shape)}]"
        elif type(value).__module__.partition(".")[0] == "pandas" and shape is not None:
            text = f"{type(value).__name__}[{' x '.join(str(length) for length in shape)}]"
        elif type(value).__repr__ is object.__repr__ and isinstance(getattr(value, "__dict__", None), dict):
            inner = ", ".join(f"{name}={_brief.repr(item)}" for name, item in list(vars(value).items())[:6])
            text = f"{type(value).__qualname__}({inner})"
        else:
            text = _brief.repr(value)
    except Exception:  # noqa: BLE001  # a user's __repr__ may do anything; a text for people is not worth a failed run
        text = f"<{type(value).__qualname__}>"
    line = _ADDRESS.sub("", " ".join(text.split()))
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
