"""Bytes that someone else wrote: a value or RecordCorrupt, never code that runs, memory that is not filled, or a crash."""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import pickle
import sys
import tracemalloc
import zoneinfo
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from codec_support import ARRAYS, SAFE, stored
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucache import codec
from gpucache.codec.file import decode_form
from gpucache.errors import RecordCorrupt, Untrusted

pa = pytest.importorskip("pyarrow")

ROOM_BYTES = 2**20  # what reading a few hundred bytes may take, at the very most
_WORDS = pa.array(["a", None, "bcd"])
SAFE_VALUES = [*SAFE.values(), *ARRAYS.values(), [np.arange(3), {"a": b"x" * 5000}], pa.table({"w": _WORDS, "n": [1, 2, 3]}),
               _WORDS.dictionary_encode(), pa.array([[1], [2, 3]]), {"arrow": _WORDS}]  # fmt: skip
try:
    import torch
except ImportError:
    TENSORS: list[Any] = []
else:
    TENSORS = [
        torch.arange(5),
        torch.ones(2, 3, dtype=torch.bfloat16).t(),
        torch.zeros(0),
        torch.zeros(3, requires_grad=True),
    ]
ENCODED = [(encoded.codec, encoded.meta, stored(encoded)) for encoded in map(codec.encode, [*SAFE_VALUES, *TENSORS])]
CODECS = ["plain", "struct", "array", "arrow", "file", "python"] + (["tensor"] if TENSORS else [])

_asked = os.environ.get("GPUCACHE_TEST_HOSTILE")
pytestmark = pytest.mark.timeout(0 if _asked else 180)
often = settings(max_examples=int(_asked)) if _asked else settings()
"""The long run asks for more: `python -m tests.soak codecs`."""

for _zone in ("Africa/Abidjan", "Africa/None"):  # so that importlib has all that it takes to look for one
    with contextlib.suppress(Exception):
        importlib.resources.files("tzdata.zoneinfo.Africa").joinpath(_zone).read_bytes()
    with contextlib.suppress(Exception):
        zoneinfo.ZoneInfo(_zone)

_watched: list[str] = []
_forbidden: list[str] = []
_EVENTS = ("exec", "compile", "os.system", "subprocess.Popen", "pickle.find_class", "open", "socket.connect")


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched and event in _EVENTS:
        # Looking for a time zone of a hostile name opens files of the database, and imports the package that has it, and those only.
        if event in ("open", "exec") and any(name in str(arguments[0]) for name in ("zoneinfo", "tzdata")):
            return
        _forbidden.append(f"{event} {arguments!r}"[:200])


sys.addaudithook(_watch)


@contextlib.contextmanager
def nothing_runs() -> Iterator[None]:
    """No code is compiled or run, no file opened, no class looked up by pickle, while this lasts."""
    _forbidden.clear()
    _watched.append("")
    try:
        yield
    finally:
        _watched.pop()
    assert _forbidden == []


def read(name: str, meta: bytes, parts: list[bytes]) -> Any:
    """As a store that others can write to reads it; RecordCorrupt and Untrusted are answers like any other."""

    def open_part(index: int, writable: bool) -> Any:
        return bytearray(parts[index]) if writable else parts[index]

    try:
        return codec.decode(name, meta, open_part, allow_pickle=False)
    except (RecordCorrupt, Untrusted) as refusal:
        return refusal


def used(value: Any) -> None:
    """Do with a value what a caller would, so that memory that is not its own would be touched here."""
    if isinstance(value, np.ndarray | np.generic):
        value.tobytes()
    elif isinstance(value, pa.Table | pa.RecordBatch | pa.Array | pa.ChunkedArray):
        value.to_pylist()
    elif isinstance(value, dict):
        used(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value[:20]:
            used(item)


def test_every_codec_is_here() -> None:
    """A codec that is added is fuzzed too: each that encode() knows has a sample above, or is refused by name."""
    sampled = {name for name, _, _ in ENCODED}

    assert sampled | {"python", "file"} == set(CODECS)


FORMS = st.tuples(
    st.sampled_from(["int64", "float32", "bool", "bfloat16", "complex128", "float8_e5m2", "Tensor", "load", "__class__", ""]),
    st.lists(st.integers(-1, 2**64 - 1) | st.integers(0, 4), max_size=4),
    st.lists(st.integers(-1, 4), max_size=4),
    st.booleans(),
)  # fmt: skip


@pytest.mark.skipif(not TENSORS, reason="there is no torch here")
@often
@given(FORMS, st.permutations(range(4)), st.binary(max_size=64))
def test_any_form_of_a_tensor_is_a_tensor_within_its_bytes(
    form: tuple[Any, ...], order: list[int], part: bytes
) -> None:
    """dtypes that torch has and that are none, negative and huge axes, in every order of the fields."""
    dtype, shape, _, grad = form
    for meta in (form, [dtype, shape, list(range(len(shape))), grad], [form[at] for at in order]):
        encoded = msgspec.msgpack.encode(meta)
        with nothing_runs():
            value = read("tensor", encoded, [part])
        if not isinstance(value, RecordCorrupt):
            assert value.numel() * value.element_size() <= len(part)
            value.detach().clone()


def mutated(data: st.DataObject, original: bytes) -> bytes:
    """The bytes with a few changed, cut, doubled or put in."""
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(changed)))
        match data.draw(st.sampled_from(["set", "cut", "insert", "flip", "repeat"])):
            case "set" if at < len(changed):
                changed[at] = data.draw(
                    st.sampled_from([0, 1, 0x7F, 0x80, 0x90, 0xC1, 0xD9, 0xDC, 0xDD, 0xDF, 0xFE, 0xFF])
                )
            case "flip" if at < len(changed):
                changed[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del changed[at : at + data.draw(st.integers(0, 8))]
            case "insert":
                changed[at:at] = data.draw(st.binary(max_size=8))
            case "repeat":
                changed[at:at] = changed[at : at + 16]
    return bytes(changed)


@often
@given(st.sampled_from(ENCODED), st.data())
def test_damaged_bytes_give_a_value_or_a_damaged_record(
    encoded: tuple[str, bytes, list[bytes]], data: st.DataObject
) -> None:
    """Description and parts changed at random."""
    name, meta, parts = encoded
    meta = mutated(data, meta)
    parts = [mutated(data, part) if len(part) < 10_000 else part for part in parts]

    with nothing_runs():
        value = read(name, meta, parts)
    used(value)


@often
@given(st.sampled_from(CODECS), st.binary(max_size=200), st.lists(st.binary(max_size=200), max_size=3))
def test_any_bytes_give_a_value_or_a_damaged_record(name: str, meta: bytes, parts: list[bytes]) -> None:
    """Nothing that gpucache ever wrote."""
    with nothing_runs():
        used(read(name, meta, parts))


TAGS = st.sampled_from([*"lqszd=awtSbBincefuyDhTrxpN.", "", "?", "n"])
TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=16),
    lambda inner: (
        st.builds(lambda tag, items: [tag, *items], TAGS, st.lists(inner, max_size=9)) | st.lists(inner, max_size=4)
    ),
)


@often
@given(TREES)
def test_any_tree_gives_a_value_or_a_damaged_record(tree: Any) -> None:
    """Well-formed msgpack, with our own tags over things that they never stand over."""
    with nothing_runs():
        used(read("struct", msgspec.msgpack.encode(tree), [b"\x93\xa1l\x01\x02", b"12345678"]))


@often
@given(st.recursive(TREES, lambda inner: st.lists(inner, max_size=5)))
def test_any_description_of_files_gives_names_that_stay_within(form: Any) -> None:
    """Or is refused."""
    with contextlib.suppress(RecordCorrupt):
        for entry in decode_form(msgspec.msgpack.encode(form)).entries:
            assert not entry.name.startswith("/")
            assert ".." not in entry.name.split("/")


class Bomb:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('ran')",)


@pytest.mark.parametrize("name", ["python", "array", "struct", "plain", "arrow", "file"])
def test_a_pickle_is_never_loaded_by_a_safe_codec(name: str) -> None:
    """Under whatever name, in the description or in a part."""
    bomb = pickle.dumps(Bomb())

    with nothing_runs():
        assert isinstance(read(name, bomb, [bomb]), RecordCorrupt | Untrusted)
        assert isinstance(read(name, codec.encode(np.arange(3)).meta, [bomb]), RecordCorrupt | Untrusted)


def test_an_object_array_is_never_made_of_raw_bytes() -> None:
    """Its elements would be addresses."""
    for described in ("O", "|O", "O8", ["s", 8, False, [["a", None, 0, "O"]]], ["a", "O", [1]]):
        meta = msgspec.msgpack.encode([described, [1], False])
        assert isinstance(read("array", meta, [bytes(8)]), RecordCorrupt)
        assert isinstance(read("struct", msgspec.msgpack.encode(["n", described, bytes(8)]), []), RecordCorrupt)


LIES = {
    "array of a terabyte": ("array", ["<f8", [2**37], False]),
    "array of nothing, often": ("array", ["|V0", [2**60, 2**60], False]),
    "array of a negative size": ("array", ["<f8", [-1, -1], False]),
    "array of a thousand axes": ("array", ["<f8", [1] * 1000, False]),
    "dtype of two gigabytes": ("array", ["<U500000000", [1], False]),
    "fields of two gigabytes": ("array", ["s", 2**31 - 1, False, [["a", None, 0, "i1"]]]),
    "fields within fields": ("array", [["a", ["a", ["a", "i1", [2**20]], [2**20]], [2**20]], [1], False]),
    "bytearray of a terabyte": ("struct", ["B", 2**40]),
    "range of everything": ("struct", ["r", 0, 2**63, 1]),
    "decimal of a billion digits": ("struct", ["e", "1E+999999999999999999"]),
    "decimal that is none": ("struct", ["e", "1E+9999999999999999999999"]),
    "complex of what is no number": ("struct", ["c", "1", None]),
    "back to itself": ("struct", ["l", ["=", 0]]),
    "back from the end": ("struct", ["l", ["l"], ["=", -1]]),
    "part from the end": ("struct", ["b", -1]),
    "tree in a part that is a tree in a part": ("struct", 0),
    "zone in another folder": ("struct", ["D", 2026, 1, 1, 0, 0, 0, 0, 0, "../../../etc/passwd"]),
    "zone that is a folder": ("struct", ["D", 2026, 1, 1, 0, 0, 0, 0, 0, "Europe"]),
    "uuid of three bytes": ("struct", ["u", b"abc", 0]),
    "a set of lists": ("struct", ["s", ["l"]]),
    "a back reference in a key": ("struct", ["l", ["q", 1], ["d", ["=", 0], 1]]),
    "extension type": ("plain", msgspec.msgpack.Ext(5, b"x")),
    "timestamp": ("plain", msgspec.msgpack.Ext(-1, bytes(4))),
    "list as a scalar": ("plain", [1]),
}


@pytest.mark.parametrize("lie", LIES)
def test_no_memory_is_taken_on_a_description_s_word(lie: str) -> None:
    """Sizes are compared with the bytes that are there before anything is made of them."""
    name, tree = LIES[lie]
    meta, parts = msgspec.msgpack.encode(tree), [msgspec.msgpack.encode(1), bytes(64)]
    read(name, meta, parts)  # imports, once

    tracemalloc.start()
    try:
        with nothing_runs():
            read(name, meta, parts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < ROOM_BYTES


@pytest.mark.parametrize(
    "claim", [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"]
)
@pytest.mark.parametrize("name", ["plain", "struct", "array", "python", "file"])
def test_a_length_that_is_not_there_takes_no_memory(name: str, claim: bytes) -> None:
    """Four billion items announced in five bytes."""
    read(name, b"", [])

    tracemalloc.start()
    try:
        assert isinstance(read(name, claim, [claim]), RecordCorrupt | Untrusted)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < ROOM_BYTES


@pytest.mark.parametrize("name", ["plain", "struct", "array", "file"])
def test_nesting_without_end_is_a_damaged_record(name: str) -> None:
    """Not a stack that overflows: in msgpack, and in our own tree."""
    for meta in (b"\x91" * 100_000, b"\x92\xa1l" * 50_000 + b"\x01", b"\x92\xa1q" * 400 + b"\x01"):
        value = read(name, meta, [])
        assert isinstance(value, RecordCorrupt | tuple)


def test_keys_that_share_take_no_exponential_time() -> None:
    """A tuple of back references to a tuple of back references... hashes in two to the depth; it is refused as a key."""
    tree: list[Any] = ["q", 1]
    levels = [tree] + [["q", ["=", number], ["=", number]] for number in range(80)]
    value = read("struct", msgspec.msgpack.encode(["l", *levels, ["d", ["q", ["=", 80], ["=", 80]], 1]]), [])

    assert isinstance(value, RecordCorrupt)


@pytest.mark.parametrize("aligned", [0, 1, None, "yes"])
def test_an_alignment_that_is_no_truth_is_damage(aligned: Any) -> None:
    """numpy took 0 for False, with a warning, and is to take it for another argument."""
    described: list[Any] = ["s", 8, aligned, [["a", None, 0, "<i4"]]]

    assert isinstance(read("array", msgspec.msgpack.encode([described, [2], False]), [bytes(16)]), RecordCorrupt)
    described[2] = True
    assert isinstance(read("array", msgspec.msgpack.encode([described, [2], False]), [bytes(16)]), np.ndarray)
