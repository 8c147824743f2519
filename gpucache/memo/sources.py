"""The texts of code that records were made with, so that an old call can be shown with the code that it ran.

Kept once for each digest of a function's normal form: a text that differs in comments alone is not another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gpucache.memo.key import Parts
from gpucache.store import Store

TABLE = "sources"
_CODE = "code:"


@dataclass(frozen=True, slots=True)
class CodeChange:
    """A function that is not what it was.

    Attributes:
        subject: Where it stands, `helpers.py:12 norm`.
        before, after: Its text; None if it is new, or gone, and "" if the text is not known.
    """

    subject: str
    before: str | None
    after: str | None


def keep(store: Store, parts: Parts, source: Callable[[str], str]) -> None:
    """Keep the texts of a record's code. `source` gives the text of a component, "" if it has none at hand."""
    new = {}
    for component, (digest, _) in parts.items():
        if component.startswith(_CODE) and digest not in _kept(store) and store.table_get(TABLE, digest) is None:
            text = source(component)
            if text:
                new[digest] = text.encode("utf-8", "surrogatepass")
        if component.startswith(_CODE):
            _kept(store).add(digest)
    if new:
        store.table_put_many(TABLE, new)


def changes(
    store: Store, before: Parts, after: Parts, source: Callable[[str], str] | None = None
) -> tuple[CodeChange, ...]:
    """What code differs between two calls, in the order of the functions' names. `source`: texts of `after`, if it is live."""
    return tuple(_changes(store, before, after, source))


def _changes(store: Store, before: Parts, after: Parts, source: Callable[[str], str] | None) -> Iterable[CodeChange]:
    for component in sorted(name for name in {**before, **after} if name.startswith(_CODE)):
        was, now = before.get(component), after.get(component)
        if was is not None and now is not None and was[0] == now[0]:
            continue
        live = "" if source is None or now is None else source(component)
        yield CodeChange(
            subject=(now or was or (b"", component))[1],
            before=None if was is None else _text(store, was[0]),
            after=None if now is None else live or _text(store, now[0]),
        )


def _text(store: Store, digest: bytes) -> str:
    row = store.table_get(TABLE, digest)
    return "" if row is None else row.decode("utf-8", "surrogatepass")


_known: dict[str, set[bytes]] = {}


def _kept(store: Store) -> set[bytes]:
    """Digests whose texts this process has seen kept in this store."""
    return _known.setdefault(str(store.path), set())
