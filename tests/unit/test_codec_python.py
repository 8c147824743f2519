"""What only pickle keeps: refusals that name the value and the way out, the main file's classes, libraries' objects."""

from __future__ import annotations

import io
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codec_support import Batch, read, round_trip

import gpucache as gpc
from gpucache import codec
from gpucache.errors import NotStorable, RecordCorrupt


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: (x for x in "a"), r"generator.*return list"),
        (threading.Lock, r"lock.*cannot pickle"),
        (socket.socket, r"socket.*cannot pickle"),
        (lambda: open(__file__), r"TextIOWrapper.*open file.*gpucache.File\(path\)"),
        (lambda: open(__file__, "rb"), r"BufferedReader.*open file.*gpucache.File\(path\)"),
        (lambda: memoryview(b"x"), r"memoryview.*bytes"),
        (threading.local, r"_thread\._local.*cannot pickle"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], lambda value: Batch([], value)])
def test_what_can_not_be_stored_is_refused_with_its_type_the_reason_and_a_remedy(
    make: Any, remedy: str, wrap: Any
) -> None:
    """Alone or within something else; an open file too, which cloudpickle would take along as text."""
    value = make()
    try:
        with pytest.raises(NotStorable) as refused:
            codec.encode(wrap(value))
    finally:
        getattr(value, "close", lambda: None)()

    text = str(refused.value)
    assert "can't be stored" in text
    if wrap(1) == 1:  # alone: the type is its own
        assert re.search(remedy, text)


def test_a_value_whose_own_code_fails_is_refused_with_that_failure() -> None:
    """pickle runs the value's methods; what they raise is the reason, and the cause."""

    class Odd:
        def __reduce__(self) -> Any:
            raise ZeroDivisionError("mine")

    with pytest.raises(NotStorable, match="mine") as refused:
        codec.encode(Odd())

    assert isinstance(refused.value.__cause__, ZeroDivisionError)


def test_buffers_in_memory_are_no_open_files() -> None:
    """BytesIO and StringIO are values."""
    back = round_trip([io.BytesIO(b"abc"), io.StringIO("d")])

    assert (back[0].getvalue(), back[1].getvalue()) == (b"abc", "d")


@pytest.mark.parametrize("wrap", [lambda file: [file], lambda file: {"a": (file,)}, lambda file: Batch([], file)])
def test_a_file_within_another_value_is_refused(wrap: Any, tmp_path: Path) -> None:
    """Only its path would be kept; its content would be whatever lies there then."""
    (tmp_path / "f").write_text("x")

    with pytest.raises(NotStorable, match=r"only its path.*one Dir with all of them"):
        codec.encode(wrap(gpc.File(tmp_path / "f")))


def test_functions_and_local_classes_come_back() -> None:
    """cloudpickle takes them by value."""

    class Local:
        def double(self, number: int) -> int:
            return 2 * number

    assert round_trip(Local()).double(4) == 8
    assert round_trip(lambda number: number + 1)(4) == 5


def test_bytes_that_do_not_unpickle_are_a_damaged_record() -> None:
    """Cut short, not pickle at all, or in need of a module that is gone."""
    encoded = codec.encode(object)

    for text in (b"", b"\x80\x05garbage", b"\x80\x05cno_such_module\nX\n."):
        with pytest.raises(RecordCorrupt):
            codec.decode("python", encoded.meta, lambda *_, text=text: text, allow_pickle=True)


@pytest.mark.parametrize("meta", [b"", b"\xff", b"\xce\xff\xff\xff\xff"])
def test_a_wrong_count_of_buffers_is_a_damaged_record(meta: bytes) -> None:
    """Before any is opened."""
    with pytest.raises(RecordCorrupt):
        codec.decode("python", meta, lambda *_: b"", allow_pickle=True)


MAIN = """
import sys, enum, dataclasses, pathlib, typing
from gpucache import codec

class Colour(enum.Enum):
    RED = 1

@dataclasses.dataclass
class Point:
    x: int
    hint: typing.Optional[int] = None
    ok: frozenset = frozenset({"a", "b", "c"})
    def double(self): return self.x * {FACTOR} if self.x in {"a", "b", 1} else 0

class Slotted(Point, typing.Generic[typing.TypeVar("T")]):
    __slots__ = ("z",)
    @property
    def y(self): return 1
    @classmethod
    def make(cls): return super().__new__(cls)

made = [Point(1), Colour.RED, Slotted(2)]
where = pathlib.Path(sys.argv[1])
if not where.exists():
    encoded = codec.encode(made)
    where.write_bytes(bytes(encoded.parts[0])); where.with_suffix(".meta").write_bytes(encoded.meta)
back = codec.decode("python", where.with_suffix(".meta").read_bytes(), lambda *_: where.read_bytes(), allow_pickle=True)
print(isinstance(back[0], Point), back[0] == made[0], back[1] is Colour.RED, isinstance(back[2], Slotted), back[0].double())
"""


def _run_main(file: Path, factor: int, stored: Path, seed: str) -> str:
    file.write_text(MAIN.replace("{FACTOR}", str(factor)))
    done = subprocess.run(
        [sys.executable, str(file), str(stored)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONHASHSEED": seed},
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_a_script_finds_its_own_classes_again_in_its_next_run(tmp_path: Path) -> None:
    """isinstance, == and enum identity hold across runs of one script; an edited class does not pass for the old one."""
    file, stored = tmp_path / "script.py", tmp_path / "stored"

    first = _run_main(file, 2, stored, "1")
    again = _run_main(file, 2, stored, "2")
    edited = _run_main(file, 3, stored, "3")

    assert first == again == "True True True True 2"
    assert edited == "False False True False 2"


@pytest.mark.slow
def test_a_class_of_the_main_file_is_found_again_after_a_worker_returned_it(tmp_path: Path) -> None:
    """The worker got the class from cloudpickle and has another main file; the script's next run finds its own class."""
    file, stored = tmp_path / "script.py", tmp_path / "stored"
    worker = (
        "import sys, pickle; from gpucache import codec; from pathlib import Path; where = Path(sys.argv[1]);"
        "value = pickle.loads(where.with_suffix('.shipped').read_bytes()); encoded = codec.encode(value);"
        "where.write_bytes(bytes(encoded.parts[0])); where.with_suffix('.meta').write_bytes(encoded.meta)"
    )
    ship = (
        MAIN.partition("where =")[0]
        + "import cloudpickle; pathlib.Path(sys.argv[1]).with_suffix('.shipped').write_bytes(cloudpickle.dumps(made))"
    ).replace("{FACTOR}", "2")
    (tmp_path / "script.py").write_text(ship)
    env = {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, str(file), str(stored)], check=True, env=env)
    subprocess.run([sys.executable, "-c", worker, str(stored)], check=True, env=env)

    assert _run_main(file, 2, stored, "0") == "True True True True 2"


class Tagged(np.ndarray):
    """An array with an attribute of its own, as NumPy's guide to subclasses has it; its pickle has no attribute."""

    def __array_finalize__(self, base: object) -> None:
        self.tag = getattr(base, "tag", None)


def test_an_array_that_would_lose_its_attributes_is_refused() -> None:
    """NumPy's pickle of a subclass keeps the numbers alone; who gets it later must not get less than the first caller."""
    tagged = np.arange(3).view(Tagged)
    tagged.tag = "m"

    with pytest.raises(NotStorable, match="its attributes would be lost"):
        codec.encode(tagged)


def test_data_frames_come_back_exactly() -> None:
    """Columns, their types, index, attributes; blocks out of band and writable."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "n": np.arange(5000),
            "f": np.linspace(0, 1, 5000, dtype=np.float32),
            "s": ["x", None] * 2500,
            "c": pd.Categorical(["a", "b"] * 2500),
            "t": pd.date_range("2026-01-01", periods=5000, tz="Europe/Berlin"),
            "i": pd.array([1, None] * 2500, dtype="Int64"),
        },
        index=pd.Index(range(0, 10_000, 2), name="id"),
    )
    frame.attrs["unit"] = "m"

    encoded = codec.encode(frame)
    back = read(encoded)
    back.loc[0, "n"] = 7

    assert len(encoded.parts) > 3
    pd.testing.assert_frame_equal(read(encoded), frame)
    assert read(encoded).attrs == {"unit": "m"}
    assert back.loc[0, "n"] == 7


def test_models_come_back_and_work() -> None:
    """scikit-learn writes to its own arrays, so they come out private."""
    linear = pytest.importorskip("sklearn.linear_model")
    features = np.arange(20.0).reshape(10, 2)
    model = linear.SGDRegressor(random_state=0).fit(features, features.sum(axis=1))

    back = round_trip(model)

    assert np.array_equal(back.predict(features), model.predict(features))
    back.partial_fit(features, features.sum(axis=1))
