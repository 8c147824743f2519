"""Records of calls that read more than their arguments: found by what was read, and what that holds now.

Such a record lies under a key of its own, made of the call's key and what each thing held. Under the call's key lies a trail:
what to look at. So a change there and back finds the first record again, and a call that read nothing costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from gpucache.digests import combine
from gpucache.memo.key import Parts
from gpucache.memo.observer import current
from gpucache.memo.things import ABSENT, Thing, content, contents, thing_of
from gpucache.store import Record, Store

TABLE = "observed"
MOST_TRAILS = 8
"""Which files a call reads may depend on what is in them; so many different sets are tried, the newest first."""


MOST_KEYS = 256
"""So many records of one call can be dropped by forget()."""


class Trails(msgspec.Struct, array_like=True):
    """What calls of one key have read, newest first, and the keys of their records."""

    things: list[list[Thing]]
    keys: list[bytes]


_decode = msgspec.msgpack.Decoder(Trails).decode
_encode = msgspec.msgpack.Encoder().encode


def look_up(store: Store, key: bytes, root: str) -> Record | None:
    """The record of the call with this key, if what the call read is as it was; else None.

    Args:
        root: The project's root, as for things.path_of().
    """
    record = store.lookup(key)
    if record is not None:
        return record
    for things in _trails(store, key).things:
        record = store.lookup(_key_with(key, contents(things, root)))
        if record is not None:
            observer = current()
            if observer is not None:  # a call within a body: the body has read this too
                observer.adopt(things)
            return record
    return None


def things_read(store: Store, key: bytes) -> tuple[Thing, ...]:
    """What the newest call of this key read; empty if it read nothing, or never ran."""
    trails = _trails(store, key).things
    return tuple(trails[0]) if trails else ()


def note(store: Store, key: bytes, held: Mapping[Thing, bytes]) -> bytes:
    """Remember what a call read; the key for its record. The caller holds the key's flight, and publishes the record first."""
    own = _key_with(key, held)
    before, things = _trails(store, key), sorted(held)
    others = [other for other in before.things if other != things]
    trails = Trails(
        [things, *others][:MOST_TRAILS], [own, *(other for other in before.keys if other != own)][:MOST_KEYS]
    )
    store.table_put(TABLE, key, _encode(trails))
    return own


def key_with(key: bytes, held: Mapping[Thing, bytes]) -> bytes:
    """The key of the record of a call that read these; the call's own key if it read nothing."""
    return _key_with(key, held) if held else key


def forget(store: Store, key: bytes) -> bool:
    """Drop the records of a call, whatever it read; whether there was one."""
    trails = _trails(store, key)
    dropped = [store.forget(each) for each in (key, *trails.keys)]
    store.table_delete(TABLE, key)
    return any(dropped)


def parts_of(held: Mapping[Thing, bytes]) -> dict[str, tuple[bytes, str]]:
    """The components that what was read adds to a key's parts. A variable's value is not kept: it may be a secret."""
    return {thing.component: (digest, _text(digest)) for thing, digest in held.items()}


def completed(parts: Parts, table: Parts, root: str) -> dict[str, tuple[bytes, str]]:
    """Parts of a call that has not run, with what it would read as far as another call's table tells, as that is now."""
    things = [thing for name in table if (thing := thing_of(name)) is not None]
    return {**parts, **parts_of({thing: content(thing, root) for thing in things})} if things else dict(parts)


def _trails(store: Store, key: bytes) -> Trails:
    row = store.table_get(TABLE, key)
    if row is None:
        return Trails([], [])
    try:
        return _decode(row)
    except msgspec.MsgspecError:  # of another version of gpucache
        return Trails([], [])


def _key_with(key: bytes, held: Mapping[Thing, bytes]) -> bytes:
    return combine(b"observed", key, *_flat(held))


def _flat(held: Mapping[Thing, bytes]) -> Iterable[bytes]:
    for thing, digest in sorted(held.items()):
        yield thing.component.encode("utf-8", "surrogateescape")
        yield digest


def _text(digest: bytes) -> str:
    return "absent" if digest == ABSENT else "present"
