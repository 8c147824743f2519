"""What lies in a bucket: read back as it was written, or refused."""

from __future__ import annotations

import random

import msgspec
import pytest

from gpucache.digests import tree_digest
from gpucache.errors import RecordCorrupt
from gpucache.store.remote.objects import (
    Answer,
    Call,
    Opened,
    Part,
    Read,
    Value,
    call_name,
    checked,
    part_along,
    part_name,
    seal,
    unseal,
)

KEY = bytes(range(16))
BODY = random.Random(0).randbytes(3000)


class Notary:
    """Signs with bytes that say what was signed."""

    public_key = b"p" * 32

    def sign(self, message: bytes) -> bytes:
        return message[:64].ljust(64, b"\0")


def call() -> Call:
    import hashlib

    part = Part(len(BODY), hashlib.sha256(BODY).digest(), tree_digest(BODY), 0)
    value = Value(b"d" * 16, "array", b"meta", False, (part,))
    answer = Answer("task", value, {"code:f": (b"c" * 16, "f")}, 1.5, 1e9, "run", {"peak": 3})
    return Call(KEY, answer, ((Read("file", "{project}/a", b"x" * 16, "3 bytes"),),))


def test_what_is_sealed_is_unsealed() -> None:
    """Call, parts and signature come back; nobody's signature is None."""
    signed, unsigned = (unseal(seal(call(), [BODY], who), KEY) for who in (Notary(), None))

    assert signed.call == unsigned.call == call()
    assert bytes(part_along(call().answer.value.parts[0], signed.along)) == BODY
    assert (signed.public_key, unsigned.public_key) == (Notary.public_key, None)
    assert signed.signature == Notary().sign(signed.message)


def test_a_part_of_a_gpucache_that_knows_nothing_of_packing_is_read() -> None:
    """Its description has four fields; ours, read by one who knows four, begins with the same."""
    fields = [3000, b"s" * 32, b"n" * 16, 7]
    part = msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=Part)

    assert part == Part(3000, b"s" * 32, b"n" * 16, 7, packed_nbytes=0)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(part)) == [*fields, 0]


@pytest.mark.parametrize("count", [400])
def test_no_changed_byte_passes(count: int) -> None:
    """One changed bit anywhere, or a cut: the object is refused, its part is, or who signed it is another."""
    whole, chance = seal(call(), [BODY], Notary()), random.Random(1)
    passed = 0

    for _ in range(count):
        data = bytearray(whole)
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        else:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        try:
            opened = unseal(bytes(data), KEY)
            passed += _is_believed(opened)
        except RecordCorrupt:
            continue

    assert passed == 0


def _is_believed(opened: Opened) -> bool:
    part = opened.call.answer.value.parts[0]
    checked(part, part_along(part, opened.along), against_intent=True)
    checked(part, part_along(part, opened.along), against_intent=False)
    return opened.public_key == Notary.public_key and opened.signature == Notary().sign(opened.message)


def test_an_object_of_another_call_is_refused() -> None:
    """Whoever renames objects gives nobody another call's answer."""
    with pytest.raises(RecordCorrupt, match="of another call"):
        unseal(seal(call(), [BODY], None), b"k" * 16)


@pytest.mark.parametrize("at", [-2, 1, 10**18])
def test_a_part_beyond_what_came_is_refused(at: int) -> None:
    """A statement can say anything; what is read lies within what came."""
    part = Part(len(BODY), b"s" * 32, b"n" * 16, at)

    with pytest.raises(RecordCorrupt, match="cut short"):
        part_along(part, memoryview(BODY))


def test_names_are_of_content() -> None:
    """Anybody can compute where a call and a part lie."""
    assert call_name(KEY) == f"calls/00/{KEY.hex()}"
    assert part_name(b"\xab" * 32) == f"parts/ab/{'ab' * 32}"
