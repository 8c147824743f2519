"""Values that code reads: whether they hold code, whether they can change in place, and how code within them is written."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import re
import sys
import uuid
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from gpucache.digests import encode, tree_digest
from gpucache.errors import NotIdentifiable
from gpucache.fingerprint.kinds import describer_of

if TYPE_CHECKING:
    from gpucache.fingerprint.context import Context
    from gpucache.fingerprint.walk import Walk

REMEDY = (
    "make it inside the function, pass it as an argument that the task's ignore= names, or, if its class is your own, say what "
    "identifies it with gpucache.register_type"
)
"""Not: pass it as an argument that counts. What has no identity has none there either."""

_FROZEN_EXACTLY = frozenset(
    {int, float, complex, str, bytes, bool, type(None), range, slice, type(...), type(NotImplemented)}
)
_FROZEN = (
    PurePath,
    enum.Enum,
    re.Pattern,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    dt.date,
    dt.time,
    dt.timedelta,
    dt.tzinfo,
)


def is_frozen(obj: Any) -> bool:
    """Whether a value can't change in place: then the name that is bound to it tells all."""
    kind = type(obj)
    if kind in _FROZEN_EXACTLY:
        return True
    if kind in (tuple, frozenset):
        return all(is_frozen(item) for item in obj)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(obj, numpy.generic | numpy.dtype):
        return not isinstance(obj, numpy.void)
    return isinstance(obj, _FROZEN)


def digest_of_data(context: Context, obj: object, label: str, kinds: set[type]) -> bytes | None:
    """The digest of a value that holds no code; None if it holds some. `kinds` gets the classes of what is in it.

    Raises:
        NotIdentifiable: It has no identity, or a part of it has none.
    """
    probe = _Probe(context, kinds)
    try:
        encoded = encode(obj, symbols=probe, name=label)
    except NotIdentifiable as refusal:
        if probe.met:
            return None  # the code that was met may be what makes the rest identifiable
        raise with_remedy(refusal) from refusal
    return None if probe.met else tree_digest(encoded)


def digest_with(symbols: Any, obj: object, label: str) -> bytes:
    """The digest of a value with its code as `symbols` writes it.

    Raises:
        NotIdentifiable: It has no identity, or a part of it has none.
    """
    try:
        return tree_digest(encode(obj, symbols=symbols, name=label))
    except NotIdentifiable as refusal:
        raise with_remedy(refusal) from refusal


def with_remedy(refusal: NotIdentifiable) -> NotIdentifiable:
    """The refusal of a value that code reads, with what to do about it."""
    return NotIdentifiable(refusal.path, refusal.type_name, refusal.why, REMEDY)


def name_in_library(context: Context, obj: Any) -> str | None:
    """The name of an object that a library keeps in a module of its own, "loguru.logger"; None for any other.

    Looked for where its class is defined, and in the packages above.
    """
    for stream in _STREAMS:
        if obj is getattr(sys, stream) or obj is getattr(sys, f"__{stream}__"):
            return f"sys.{stream}"
    module = type(obj).__module__
    if context.is_project_class(type(obj)):
        return None
    while module:
        namespace = vars(sys.modules[module]) if module in sys.modules else {}
        name = next((name for name, value in list(namespace.items()) if value is obj), None)
        if name is not None:
            return f"{module}.{name}"
        module = module.rpartition(".")[0]
    return None


_STREAMS = ("stdin", "stdout", "stderr")


class _Probe:
    """Symbols that only find out whether a value holds code."""

    def __init__(self, context: Context, kinds: set[type]) -> None:
        self._context, self.kinds = context, kinds
        self.met = False

    def token(self, obj: Any) -> bytes | None:
        if not holds(self._context, obj):
            return None
        self.met = True
        return b""


class Named:
    """Symbols for people's components: code in a value has a component of its own, so here its name will do."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def token(self, obj: Any) -> bytes | None:
        """The name of a piece of code."""
        return str(getattr(obj, "__qualname__", type(obj).__qualname__)).encode() if holds(self._context, obj) else None


class Within:
    """Symbols of a value that holds code: each piece by a walk of its own.

    Attributes:
        met: The outermost of `above` that such a walk met, by index.
    """

    def __init__(self, walk: Walk, above: tuple[int, ...]) -> None:
        self._walk = walk
        self._above = above
        self.met = len(above)

    def token(self, obj: Any) -> bytes | None:
        """The digest of what a piece of code reaches."""
        if not holds(self._walk.context, obj):
            return None
        token, met = self._walk.token_within(obj, self._above)
        self.met = min(self.met, met)
        return token


def holds(context: Context, obj: Any) -> bool:
    """Whether this is code that counts by what it does; a library's class counts by its name."""
    if isinstance(obj, type):
        return context.is_project_class(obj)
    return describer_of(context, obj) is not None
