"""What lies in a bucket: one object for each call, named by its key, and large parts of values, named by their SHA-256.

    calls/ab/<key>      what the call gave, described, with its parts along while they are small; or which files its bodies read
    parts/ab/<sha256>   the bytes of one part
    packed/ab/<sha256>  the same, packed (packing.py)

A call's object says SHA-256 of every byte that belongs to it, and may be signed. Our own digests (XXH3-128) are right against
accident, not against intent (FACTS): they are what is compared where nobody's signature is asked for, ten times as fast, since
whoever means harm could then write another record just as well. Nothing here reads or writes anything.

Small parts travel with their call because a request costs more than bytes do: from a store 30 ms away, 4 MiB more on a
gigabit line cost what a second request costs. What many calls share is then stored with each of them, up to that size.

Layout of a call's object, little endian: magic (8) · length of the statement (8) · its SHA-256 (32) · public key (32) ·
signature (64) · statement (msgpack) · the parts that travel with it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from gpucache.digests import tree_digest
from gpucache.errors import RecordCorrupt
from gpucache.store.remote.packing import unpacked

MAGIC = b"gpcall01"
MAGIC_WITH_PACKED = b"gpcall02"
"""Parts of it travel packed. Who knows 01 alone says that it is no object of his gpucache, and computes."""
SIGNED = (
    b"gpucache call 1\0"  # goes before what is signed, so that a signature made for anything else means nothing here
)
ALONG_MAX_BYTES = 4 * 2**20
STATEMENT_MAX_BYTES = 64 * 2**20
APART = -1

_head = struct.Struct("<8sQ32s32s64s")
_UNSIGNED = bytes(32), bytes(64)


class Part(msgspec.Struct, frozen=True, array_like=True):
    """A part of a value.

    Attributes:
        nbytes: Its size.
        sha256: Of its bytes.
        name: Its own digest, gpucache.digests.tree_digest, under which a store that has it holds it.
        at: Where it begins among the bytes that travel along; APART: it is an object of its own.
        packed_nbytes: 0: it travels as it is. Else it travels packed, and of what travels along takes so many bytes. Apart,
            its object says itself how many it has: others may have packed it otherwise.
    """

    nbytes: int
    sha256: bytes
    name: bytes
    at: int
    packed_nbytes: int = 0


class Value(msgspec.Struct, frozen=True, array_like=True):
    """A value without its bulk, as gpucache.codec lays it out; `digest` is its identity."""

    digest: bytes
    codec: str
    meta: bytes
    pickled: bool
    parts: tuple[Part, ...]


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a call gave: the fields of store.Record that mean something elsewhere, and the parts of its key."""

    task: str
    value: Value
    parts: dict[str, tuple[bytes, str]]
    seconds: float
    created_at: float
    run_id: str
    note: dict[str, str | float | int]


class Read(msgspec.Struct, frozen=True, array_like=True):
    """Something that a body read, as memo/inputs.py has it, without the stamp: that is of one machine's file."""

    kind: str
    name: str
    digest: bytes
    shown: str


Lists = tuple[tuple[Read, ...], ...]


class Call(msgspec.Struct, frozen=True, array_like=True):
    """What is known under a key: the answer, or what bodies of it read, newest first, whose answers lie under other keys."""

    key: bytes
    answer: Answer | None
    lists: Lists = ()


class Signer(Protocol):
    """Who vouches for a statement."""

    public_key: bytes

    def sign(self, message: bytes) -> bytes:
        """The signature of a message, 64 bytes."""
        ...


class Opened(NamedTuple):
    """A call's object whose statement is what was written, by whoever that was.

    Attributes:
        call: What it says.
        public_key, signature: Who says so, if that is true; None: nobody.
        message: What was signed.
        along: The bytes that travel with it, not checked yet.
    """

    call: Call
    public_key: bytes | None
    signature: bytes
    message: bytes
    along: memoryview


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Call).decode


def call_name(key: bytes) -> str:
    """The object of a call."""
    return f"calls/{key.hex()[:2]}/{key.hex()}"


def part_name(sha256: bytes, *, packed: bool = False) -> str:
    """The object of a part that does not travel with its call."""
    return f"{'packed' if packed else 'parts'}/{sha256.hex()[:2]}/{sha256.hex()}"


def seal(call: Call, along: Sequence[Any], signer: Signer | None) -> bytes:
    """The object of a call. `along`: buffers that travel with it, as its parts say."""
    statement = _encode(call)
    digest = hashlib.sha256(statement).digest()
    key, signature = _UNSIGNED if signer is None else (signer.public_key, signer.sign(SIGNED + digest))
    parts = () if call.answer is None else call.answer.value.parts
    magic = MAGIC_WITH_PACKED if any(part.packed_nbytes for part in parts) else MAGIC
    return b"".join((_head.pack(magic, len(statement), digest, key, signature), statement, *along))


def unseal(data: Any, key: bytes) -> Opened:
    """Read the object of a call; whoever uses it must still ask who signed it.

    Raises:
        RecordCorrupt: It is damaged, is no such object, or is that of another call.
    """
    view = memoryview(data)
    name = f"remote call {key.hex()[:12]}"
    if view.nbytes < _head.size or bytes(view[: len(MAGIC)]) not in (MAGIC, MAGIC_WITH_PACKED):
        raise RecordCorrupt(name, "it is no object of this gpucache")
    _, length, digest, public_key, signature = _head.unpack_from(view)
    end = _head.size + length
    if length > STATEMENT_MAX_BYTES or end > view.nbytes:
        raise RecordCorrupt(name, f"it has {view.nbytes:,} bytes and says {end:,}")
    statement = view[_head.size : end]
    if hashlib.sha256(statement).digest() != digest:
        raise RecordCorrupt(name, "its content is not what its checksum says")
    try:
        call = _decode(statement)
    except (ValueError, RecursionError) as problem:  # msgspec's own errors are ValueErrors
        raise RecordCorrupt(name, str(problem)) from problem
    if call.key != key:
        raise RecordCorrupt(name, f"it is of another call, {call.key.hex()[:12]}")
    nobody = (public_key, signature) == _UNSIGNED
    return Opened(call, None if nobody else public_key, signature, SIGNED + digest, view[end:])


def part_along(part: Part, along: memoryview) -> memoryview:
    """The bytes of a part that travelled with its call, not checked yet.

    Raises:
        RecordCorrupt: They are not there.
    """
    name, nbytes = f"remote part {part.sha256.hex()[:12]}", part.packed_nbytes or part.nbytes
    if not 0 <= part.at <= part.at + nbytes <= along.nbytes:
        raise RecordCorrupt(name, "it is cut short")
    found = along[part.at : part.at + nbytes]
    if not part.packed_nbytes:
        return found
    if part.nbytes > ALONG_MAX_BYTES:
        raise RecordCorrupt(name, f"it has {part.nbytes:,} bytes, and travels along: at most {ALONG_MAX_BYTES:,}")
    return memoryview(unpacked(name, part.nbytes, found))


def checked(part: Part, data: Any, *, against_intent: bool) -> memoryview:
    """The bytes, if they are those of the part.

    Args:
        against_intent: A signature stands for them, so nobody else's bytes may be taken for them.

    Raises:
        RecordCorrupt: They are not.
    """
    view = memoryview(data).cast("B")
    is_right = hashlib.sha256(view).digest() == part.sha256 if against_intent else tree_digest(view) == part.name
    if view.nbytes != part.nbytes or not is_right:
        raise RecordCorrupt(f"remote part {part.sha256.hex()[:12]}", "its content is not what its call says")
    return view
