"""A value in a few words, for people: never more than a line, never slow, never an exception."""

from __future__ import annotations

import re
import reprlib
import traceback

LONGEST = 80
MOST_ITEMS = 6
"""Of a container, so many items are shown."""

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # says nothing to people, and differs in every process


class _Brief(reprlib.Repr):
    """reprlib, with arrays and tensors inside of containers in the words that they have outside."""

    def repr_ndarray(self, value: object, _level: int) -> str:
        return _array(value) or object.__repr__(value)

    repr_Tensor = repr_ndarray  # noqa: N815  # reprlib finds it by the type's name


_brief = _Brief()
_brief.maxstring = _brief.maxother = LONGEST
_brief.maxlevel = 3
_brief.maxlist = _brief.maxtuple = _brief.maxdict = _brief.maxset = MOST_ITEMS


def shown(value: object) -> str:
    """Return `float32[1000, 64]` for what has dtype and shape, a shortened repr for anything else."""
    try:
        text = _array(value) or _frame(value) or _plain_object(value) or _brief.repr(value)
    except Exception:  # noqa: BLE001  # a user's __repr__ may do anything; a text for people is not worth a failed run
        text = f"<{type(value).__qualname__}>"
    line = _ADDRESS.sub("", " ".join(text.split()))
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _array(value: object) -> str:
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or not shape or isinstance(value, type):
        return ""
    return f"{dtype}[{', '.join(str(length) for length in shape)}]"


def _frame(value: object) -> str:
    shape = getattr(value, "shape", None)
    if shape is None or type(value).__module__.partition(".")[0] != "pandas":
        return ""
    return f"{type(value).__name__}[{' x '.join(str(length) for length in shape)}]"


def _plain_object(value: object) -> str:
    """What has no words of its own: its attributes."""
    if type(value).__repr__ is not object.__repr__ or not isinstance(getattr(value, "__dict__", None), dict):
        return ""
    inner = ", ".join(f"{name}={_brief.repr(item)}" for name, item in list(vars(value).items())[:MOST_ITEMS])
    return f"{type(value).__qualname__}({inner})"


def exception_line(problem: BaseException) -> str:
    """An exception as a traceback's last line has it, without the notes that were added to it."""
    lines = traceback.format_exception_only(problem)
    notes = getattr(problem, "__notes__", None)
    after = sum(str(note).count("\n") + 1 for note in notes) if isinstance(notes, list) else 0
    return lines[max(len(lines) - 1 - after, 0)].strip()
