"""Who encodes which class: exact classes, families of classes (with their subclasses), and classes that users registered.

A library's encoders are imported when the first value of one of its classes is seen, so the library itself is never imported
from here: a value can only be a tensor if torch is there already.
"""

from __future__ import annotations

import importlib
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpucache.digests.canonical import Walker

Encoder = Callable[["Walker", Any], None]
Parts = Callable[[Any], object]

_LIBRARIES = {
    "numpy": "gpucache.digests.of_numpy",
    "torch": "gpucache.digests.of_torch",
    "pandas": "gpucache.digests.of_pandas",
    "pyarrow": "gpucache.digests.of_arrow",
    "scipy.sparse": "gpucache.digests.of_scipy",
    "polars": "gpucache.digests.of_polars",
    "random": "gpucache.digests.of_random",
    "jinja2": "gpucache.digests.of_jinja",
}
"""What a class's module begins with -> the module whose encoders() are (exact classes, families)."""

_BUILTINS = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset})

_exact: dict[type, Encoder] = {}
_families: dict[type, Encoder] = {}
_registered: dict[type, Parts] = {}
_by_digest: set[Encoder] = set()
_loaded: set[str] = set()
_loading = threading.Lock()
# Classes come and go (notebooks, factories): what was found for one must not keep it alive.
_found: weakref.WeakKeyDictionary[type, Encoder | None] = weakref.WeakKeyDictionary()


def register_type(cls: type) -> Callable[[Parts], Parts]:
    """Say what identifies a value of a class of your own: `@register_type(Mesh) def parts(mesh): return mesh.vertices`.

    The function returns a value that is identifiable itself; the class counts beside it. Subclasses need their own. It wins over
    what gpucache knows of the class, but for Python's built-in types.

    Raises:
        TypeError: `cls` is no class, or one of Python's built-in types.
    """
    if not isinstance(cls, type) or cls in _BUILTINS:  # type: ignore[redundant-expr]  # callers may not be typed
        raise TypeError(f"register_type({cls!r}): give a class of your own; what a built-in value is, is fixed")

    def register(parts: Parts) -> Parts:
        _registered[cls] = parts
        return parts

    return register


def registered(kind: type) -> Parts | None:
    """What a user said identifies values of exactly this class."""
    return _registered.get(kind)


def by_digest(encoder: Encoder) -> Encoder:
    """Mark an encoder whose values stand within others by their digest alone (so that a known one is not walked)."""
    _by_digest.add(encoder)
    return encoder


def is_by_digest(encoder: Encoder) -> bool:
    """Whether by_digest() marked it."""
    return encoder in _by_digest


def add_encoder(kind: type, encoder: Encoder) -> None:
    """Let values of exactly this class be encoded so."""
    _exact[kind] = encoder


def add_family(kind: type, encoder: Encoder) -> None:
    """Let values of this class and its subclasses be encoded so; the encoder writes the subclass and its attributes."""
    _families[kind] = encoder


def encoder_of(kind: type) -> Encoder | None:
    """The encoder of a class; None: its values are taken apart by their own reduce."""
    encoder = _exact.get(kind)
    if encoder is not None:
        return encoder
    try:
        return _found[kind]
    except KeyError:
        _load_libraries_of(kind)
    encoder = _exact.get(kind)
    if encoder is None:
        encoder = next((_families[base] for base in kind.__mro__ if base in _families), None)
    _found[kind] = encoder
    return encoder


def _load_libraries_of(kind: type) -> None:
    for base in kind.__mro__:
        module = str(base.__module__)
        for library, ours in _LIBRARIES.items():
            if (
                library not in _loaded
                and (module == library or module.startswith(f"{library}."))
                and library in sys.modules
            ):
                _load(library, ours)


def _load(library: str, ours: str) -> None:
    module = importlib.import_module(ours)
    # Under a lock, and marked as loaded last: a thread that finds the mark finds the encoders.
    with _loading:
        exact: Mapping[type, Encoder]
        families: Mapping[type, Encoder]
        exact, families = module.encoders()
        _exact.update(exact)
        _families.update(families)
        _loaded.add(library)
