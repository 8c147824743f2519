"""What others computed, taken into this store: every byte is checked before a row names it.

A record that is taken is a record of this store from then on, with a note that says where it came from, so that it is never
sent on in this user's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from gpucache import codec
from gpucache.codec.file import NAME as FILE
from gpucache.errors import BlobMissing, RecordCorrupt, Untrusted
from gpucache.store.on_disk import Store
from gpucache.store.record import Manifest, PartRef, Record
from gpucache.store.remote.bucket import Bucket
from gpucache.store.remote.objects import (
    ALONG_MAX_BYTES,
    APART,
    STATEMENT_MAX_BYTES,
    Answer,
    Lists,
    Opened,
    Part,
    Read,
    Value,
    call_name,
    checked,
    part_along,
    part_name,
    unseal,
)
from gpucache.store.remote.packing import Unpacker
from gpucache.store.remote.patience import Patience
from gpucache.store.remote.scratch import Scratch
from gpucache.store.remote.signing import Trust
from gpucache.store.remote.suspicion import look_through

FETCHED = "fetched"
"""In a record's note: whose signature was checked where it came from, or "nobody"."""

INPUTS, LISTS_AT_MOST = "inputs", 16
"""The table of memo/inputs.py, and how many lists it keeps for one key."""

IN_MEMORY_MAX_BYTES = 64 * 2**20
"""Larger parts come through a file: what is loaded need not fit in memory."""

_encode = msgspec.msgpack.Encoder().encode
_lists = msgspec.msgpack.Decoder(list[list[Read]]).decode


class Receiver:
    """Takes calls out of a bucket into a store. Any thread may call any method.

    Attributes:
        damaged: Keys of calls, and SHA-256 of parts, whose objects were found damaged: whoever sends them next writes them anew.
    """

    def __init__(self, store: Store, bucket: Bucket, trust: Trust) -> None:
        self._store, self._bucket, self._trust = store, bucket, trust
        self.damaged: set[bytes] = set()

    def take(self, key: bytes, patience: Patience) -> int | None:
        """Take what is known under a key; the bytes that came with it, or None if there is nothing.

        Raises:
            RemoteUnreachable: No answer, or not in time; nothing changed.
            RecordCorrupt: What came is damaged; nothing changed.
            Untrusted: It is not to be believed; nothing changed.
            StoreFull, StoreUnusable: It can't be kept.
        """
        data = self._bucket.get(call_name(key), most_bytes=STATEMENT_MAX_BYTES + 2 * ALONG_MAX_BYTES)
        if data is None:
            return None
        try:
            opened = unseal(data, key)
        except RecordCorrupt:
            self.damaged.add(key)
            raise
        why_not = self._trust.why_not(opened.public_key, opened.signature, opened.message)
        if why_not is not None:
            raise Untrusted(self._bucket.url, why_not)
        if opened.call.lists:
            add_lists(self._store, key, opened.call.lists)
        answer = opened.call.answer
        if answer is None:
            return memoryview(data).nbytes
        patience.as_long_as(answer.seconds)
        apart = sum(part.packed_nbytes or part.nbytes for part in answer.value.parts if part.at == APART)
        value = answer.value
        with Scratch(self._store.path / "tmp") as scratch:
            parts = self._parts(value, opened.along, scratch, patience)
            encoded = codec.Encoded(value.codec, value.meta, parts, value.pickled)
            if not self._trust.keys:
                look_through(encoded, value.digest, self._bucket.url, scratch)
            self._store.take(
                encoded, value.digest, lambda manifest: self._record(key, answer, manifest, opened), answer.parts
            )
        return memoryview(data).nbytes + apart

    def _parts(self, value: Value, along: memoryview, scratch: Scratch, patience: Patience) -> tuple[Any, ...]:
        """A value's parts, checked: buffers, or files for what becomes files or is too large for memory."""
        parts: list[Any] = []
        for part in value.parts:
            data: Any
            place: Path | None = None
            if part.at != APART:
                data = checked(part, part_along(part, along), against_intent=bool(self._trust.keys))
            else:
                data = self._already_here(part)
                if data is None:
                    place = scratch.new() if value.codec == FILE or part.nbytes > IN_MEMORY_MAX_BYTES else None
                    data = self._download(part, place, patience)
            if value.codec == FILE and place is None:
                place = scratch.new()
                place.write_bytes(data)
            parts.append(data if place is None else codec.FilePart(place))
        return tuple(parts)

    def _already_here(self, part: Part) -> Any | None:
        """The part's bytes out of this store, where another value has the same."""
        try:
            found = self._store.values.open_part(PartRef(None, part.name, part.nbytes), writable=False)
            return checked(part, found, against_intent=True)
        except (BlobMissing, RecordCorrupt):
            return None

    def _download(self, part: Part, place: Path | None, patience: Patience) -> Any:
        pieces = list[bytes]()
        try:
            if place is None:
                self._stream(part, pieces.append, patience)
            else:
                with place.open("wb") as file:
                    self._stream(part, file.write, patience)
        except RecordCorrupt:
            self.damaged.add(part.sha256)
            raise
        return b"".join(pieces)

    def _stream(self, part: Part, put: Callable[[Any], object], patience: Patience) -> None:
        """Give a part's bytes on as they come, and say at the end whether they were right."""
        digest, name = hashlib.sha256(), part_name(part.sha256, packed=bool(part.packed_nbytes))

        def keep(piece: Any) -> None:
            digest.update(piece)
            put(piece)

        def is_whole(nbytes: int) -> None:
            if nbytes != part.nbytes:
                raise RecordCorrupt(f"remote {name}", f"it has {nbytes:,} bytes instead of {part.nbytes:,}")

        if part.packed_nbytes:
            unpacker = Unpacker(f"remote {name}", part.nbytes, keep)
            found = self._bucket.stream(name, unpacker.begin, unpacker.feed, until=patience.until)
            if found:
                unpacker.close()
        else:
            found = self._bucket.stream(name, is_whole, keep, until=patience.until)
        if not found:
            raise BlobMissing(f"remote part {part.sha256.hex()[:12]}", "its object is gone")
        if digest.digest() != part.sha256:
            raise RecordCorrupt(f"remote part {part.sha256.hex()[:12]}", "its content is not what its call says")

    def _record(self, key: bytes, answer: Answer, manifest: Manifest, opened: Opened) -> Record:
        signer = opened.public_key.hex() if self._trust.keys and opened.public_key is not None else "nobody"
        return Record(
            key=key,
            task=answer.task,
            result=manifest,
            parts=b"",
            seconds=answer.seconds,
            created_at=answer.created_at,
            run_id=answer.run_id,
            note={**answer.note, FETCHED: signer},
        )


def add_lists(store: Store, key: bytes, fetched: Lists) -> None:
    """Note what bodies of a key read elsewhere, behind what they read here."""
    known = lists_of(store, key)
    names = [{(one.kind, one.name) for one in read} for read in known]
    new = [read for read in fetched if {(one.kind, one.name) for one in read} not in names]
    if new:
        row = store.table_get(INPUTS, key)
        here = [] if row is None else msgspec.msgpack.decode(row)  # with the stamps, which are right here
        store.table_put(INPUTS, key, _encode([*here, *new][:LISTS_AT_MOST]))


def lists_of(store: Store, key: bytes) -> Lists:
    """What bodies of a key read, as it goes to others."""
    row = store.table_get(INPUTS, key)
    try:
        return () if row is None else tuple(tuple(read) for read in _lists(row))
    except msgspec.MsgspecError:
        return ()
