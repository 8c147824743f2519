"""What was computed here, made into objects for others: parts first, then the call that names them."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import Any, NamedTuple

from gpucache.digests import tree_digest
from gpucache.errors import BlobMissing, RecordCorrupt, Untrusted
from gpucache.store.on_disk import Store
from gpucache.store.record import Record
from gpucache.store.remote.bucket import Bucket
from gpucache.store.remote.objects import (
    ALONG_MAX_BYTES,
    APART,
    STATEMENT_MAX_BYTES,
    Answer,
    Call,
    Lists,
    Part,
    Value,
    call_name,
    part_name,
    seal,
    unseal,
)
from gpucache.store.remote.packing import Line, packed_if_it_pays
from gpucache.store.remote.receiving import FETCHED, LISTS_AT_MOST, lists_of
from gpucache.store.remote.signing import SigningKey, Trust

TURNS = 64


class Sent(NamedTuple):
    """What went: its bytes, and how many more they would have been had none been packed."""

    nbytes: int
    saved_bytes: int


class Sender:
    """Puts calls of a store into a bucket. Any thread may call any method.

    Args:
        signer: Who stands for them; None: nobody.
        trust: Whose lists are kept beside ours.
        damaged: As Receiver has it. What lies beside a damaged call may be damaged as well, and nobody has looked.
        line: What the way up moves; None: parts are never packed.
    """

    def __init__(
        self,
        store: Store,
        bucket: Bucket,
        signer: SigningKey | None,
        trust: Trust,
        damaged: set[bytes],
        *,
        line: Line | None = None,
    ) -> None:
        self._line = line
        self._store, self._bucket, self._signer = store, bucket, signer
        self._trust, self._damaged = trust, damaged
        self._turns = [threading.Lock() for _ in range(TURNS)]

    def send(self, key: bytes) -> Sent | None:
        """Send what this store knows under a key; what went, or None if there is nothing that is ours to send.

        Raises:
            RemoteUnreachable: It was not sent.
        """
        record, lists = self._store.lookup(key), lists_of(self._store, key)
        answer, along, apart = None, list[Any](), Sent(0, 0)
        if record is not None and self._is_ours(record):
            try:
                answer, along, apart = self._answer(record, anew=key in self._damaged)
            except (BlobMissing, RecordCorrupt):
                pass  # evicted, or damaged, before it could be sent
        if answer is None and not lists:
            return None
        if lists:
            lists = self._with_those_there(key, lists)
        data = seal(Call(key, answer, lists), along, self._signer)
        self._put(call_name(key), data)
        self._damaged.discard(key)
        return Sent(apart.nbytes + len(data), apart.saved_bytes)

    def _is_ours(self, record: Record) -> bool:
        """Whether it was computed here, and somebody could believe it: what only pickle reads must be signed."""
        return FETCHED not in record.note and (self._signer is not None or not record.result.pickled)

    def _answer(self, record: Record, *, anew: bool) -> tuple[Answer, list[Any], Sent]:
        """What a record says, the parts that travel with it, and what was sent apart from it and saved in both."""
        parts: list[Part] = []
        along: list[Any] = []
        room, at, sent, saved = ALONG_MAX_BYTES, 0, 0, 0
        for ref in record.result.parts:
            data = memoryview(self._store.values.open_part(ref, writable=False)).cast("B")
            sha256 = hashlib.sha256(data).digest()
            name = ref.blob or tree_digest(data)
            packed = None if self._line is None else packed_if_it_pays(data, self._line)
            travels = data if packed is None else memoryview(packed)
            is_along = data.nbytes <= room
            parts.append(
                Part(data.nbytes, sha256, name, at if is_along else APART, 0 if packed is None else len(packed))
            )
            if is_along:
                along.append(travels)
                at, room = at + travels.nbytes, room - data.nbytes
                went = travels.nbytes
            else:
                went = self._send_part(sha256, travels, is_packed=packed is not None, anew=anew)
                sent += went
            saved += data.nbytes - travels.nbytes if went else 0
        result = record.result
        value = Value(result.digest, result.codec, result.meta, result.pickled, tuple(parts))
        table = self._store.parts_of(record)
        answer = Answer(record.task, value, table, record.seconds, record.created_at, record.run_id, dict(record.note))
        return answer, along, Sent(sent, saved)

    def _send_part(self, sha256: bytes, data: memoryview, *, is_packed: bool, anew: bool) -> int:
        name = part_name(sha256, packed=is_packed)
        with self._turns[sha256[0] % TURNS]:  # calls that share a part are often sent at the same time
            if not anew and sha256 not in self._damaged:
                there = self._bucket.size(name)
                if there == data.nbytes or (is_packed and there):  # another zstd packs it in other bytes
                    return 0
            self._put(name, data)
            self._damaged.discard(sha256)
            return data.nbytes

    def _put(self, name: str, data: Any) -> None:
        began = time.perf_counter()
        self._bucket.put(name, data)
        if self._line is not None:
            self._line.moved(memoryview(data).nbytes, time.perf_counter() - began)

    def _with_those_there(self, key: bytes, ours: Lists) -> Lists:
        """Our lists before those that others have put there. Two who do this at once may lose one's: then that is a miss."""
        data = self._bucket.get(call_name(key), most_bytes=STATEMENT_MAX_BYTES + 2 * ALONG_MAX_BYTES)
        if data is None:
            return ours
        try:
            opened = unseal(data, key)
        except (RecordCorrupt, Untrusted):
            return ours
        if self._trust.why_not(opened.public_key, opened.signature, opened.message) is not None:
            return ours  # signed with ours, they would be ours
        names = [{(one.kind, one.name) for one in read} for read in ours]
        others = [read for read in opened.call.lists if {(one.kind, one.name) for one in read} not in names]
        return (*ours, *others)[:LISTS_AT_MOST]
