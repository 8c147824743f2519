"""The verbs, as a user types them: what they print, their JSON, and their exit status."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import gpucache as gpc
from gpucache.cli.main import VERBS, status_of

PIPELINE = """
from typing import Literal
import gpucache as gpc

RATE = 2

@gpc.task
def scale(x: int, rate: float) -> float:
    return x * rate * RATE

@gpc.task
def fails(x: int) -> int:
    raise LookupError("no such thing")

@gpc.flow
def small(x: int, lr: float = 0.5, mode: Literal["a", "b"] = "a", verbose: bool = False) -> float:
    return scale(x, lr)

@gpc.flow
def broken() -> int:
    return fails(1)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPUCACHE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GPUCACHE_RUNTIME", "inline")
    (tmp_path / "verbs_pipeline.py").write_text(PIPELINE)
    gpc.shutdown()
    yield tmp_path
    gpc.shutdown()


def gpucache(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = status_of(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_run_says_what_ran_and_what_hit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first run runs, the second hits; the document has the result, the states and the reasons."""
    documents = []
    for _ in range(2):
        status, out, _ = gpucache(capsys, "run", "verbs_pipeline.py:small", "--x", "3", "--lr", "1e-1", "--json")
        assert status == 0
        documents.append(json.loads(out))

    assert [document["calls"][0]["state"] for document in documents] == ["ran", "hit"]
    assert documents[0]["schema"] == "gpucache.run/1"
    assert documents[0]["result"] == pytest.approx(0.6)
    assert documents[0]["calls"][0]["reasons"] == ["it never ran before"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--nope", "1"), "--lr float (default 0.5)"),
        ((), "argument '--x' is missing"),
        (("--x", "three"), "'--x' is 'three', not int"),
        (("--x", "1", "--mode", "c"), "'--mode' is 'c', not 'a' | 'b'"),
        (("--x", "1", "--verbose=perhaps"), "'--verbose' is 'perhaps', not bool"),
        (("--x", "1", "--x", "2"), "'--x' is given 2 times"),
        (("--x",), "has no value"),
        (("3",), "has no name"),
    ],
)
def test_wrong_argument_is_usage(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    """A wrong argument exits with 2, names what is wrong and what the flow takes, and runs nothing."""
    status, _, err = gpucache(capsys, "run", "verbs_pipeline.py:small", *arguments)

    assert status == 2
    assert said in err
    assert "Traceback" not in err
    assert gpc.runs() == []


def test_unknown_flow_and_broken_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has its own sentence and status; a file that does not import shows the user's own line."""
    (folder / "half.py").write_text("import nothing_like_this\n")

    unknown = gpucache(capsys, "run", "verbs_pipeline.py:nope")
    unnamed = gpucache(capsys, "run", "verbs_pipeline.py")
    missing = gpucache(capsys, "run", "absent.py")
    half = gpucache(capsys, "run", "half.py")

    assert (unknown[0], unnamed[0], missing[0], half[0]) == (4, 4, 2, 2)
    assert "it has broken, small" in unknown[2]
    assert "no such file" in missing[2]
    assert "nothing_like_this" in half[2]
    assert 'half.py", line 1' in half[2]
    assert "gpucache/cli" not in half[2]
    assert "Traceback" not in half[2]


def test_a_file_in_a_package_and_one_with_a_dot_in_its_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first is imported as a part of its package, whatever the current directory is; the second under a name of its own."""
    text = PIPELINE.replace("RATE = 2", "from .rates import RATE")
    (folder / "verbs_package").mkdir()
    for name, content in (("__init__", ""), ("rates", "RATE = 4"), ("steps", text)):
        (folder / "verbs_package" / f"{name}.py").write_text(content)
    (folder / "verbs.v2.py").write_text(PIPELINE)

    within = gpucache(capsys, "run", "verbs_package/steps.py:small", "--x", "1")
    os.chdir(folder / "verbs_package")
    again = gpucache(capsys, "run", "steps.py:small", "--x", "1")
    dotted = gpucache(capsys, "run", "../verbs.v2.py:small", "--x", "1")

    assert ["result  2.0" in out for _, out, _ in (within, again)] == [True, True]
    assert "hit" in again[1]
    assert "result  1.0" in dotted[1]


def test_failed_task_shows_the_users_traceback(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1, the task's own frames, none of gpucache's."""
    status, _, err = gpucache(capsys, "run", "verbs_pipeline.py:broken")

    assert status == 1
    assert "LookupError: no such thing" in err
    assert "verbs_pipeline.py" in err
    assert f"gpucache{os.sep}flows" not in err


def test_run_writes_a_plain_result_whole_and_says_where_a_long_one_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path at its end can be copied; what is cut says how to get the rest, and that works."""
    plain = {
        "accuracy": 0.8967254408060453,
        "steps": [1, None, True],
        "picture": "/" + "very/long/" * 20 + "picture.png",
    }
    values = {"plain": repr(plain), "long": "list(range(10_000))", "text": "'x' * 10_000"}
    text = "import gpucache as gpc\n"
    text += "".join(f"@gpc.flow\ndef {name}():\n    return {value}\n" for name, value in values.items())
    (folder / "results_pipeline.py").write_text(text)

    said = {name: gpucache(capsys, "run", f"results_pipeline.py:{name}")[1].splitlines() for name in values}

    assert said["plain"][0] == f"result  {plain!r}"
    for name, value in values.items():
        if name != "plain":
            line = said[name][0]
            assert len(line) < 200
            _, cut, call = line.removesuffix(")").partition("  (whole: gpucache.")
            assert cut, line
            found = gpc.run(call.removeprefix("run('").removesuffix("').result()"))
            assert found.result() == eval(value)  # the text above


@pytest.mark.parametrize("verb", [("run", "verbs_pipeline.py:small", "--x", "1"), ("replay", "@last")])
def test_force_of_a_task_that_is_not_called(
    verb: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name with a typo forces nothing: the run says so, with the names that there were, and exits with 2."""
    gpucache(capsys, "run", "verbs_pipeline.py:small", "--x", "1")

    vain = gpucache(capsys, *verb, "--force", "scael")
    forced = gpucache(capsys, *verb, "--force", "scale")

    assert vain[0] == 2
    assert vain[2] == "gpucache: --force scael: the run called no task of that name; it called scale\n"
    assert (forced[0], forced[2]) == (0, "")


def test_plan_exits_with_3_when_something_would_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--exit-code tells a script; nothing ran."""
    cold = gpucache(capsys, "plan", "verbs_pipeline.py:small", "--x", "1", "--exit-code")
    gpucache(capsys, "run", "verbs_pipeline.py:small", "--x", "1")
    warm = gpucache(capsys, "plan", "verbs_pipeline.py:small", "--x", "1", "--exit-code")

    assert (cold[0], warm[0]) == (3, 0)
    assert "it never ran before" in cold[1]
    assert "everything hits" in warm[1]


def test_edit_is_explained_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After an edit of a constant, explain names it with both values."""
    gpucache(capsys, "run", "verbs_pipeline.py:small", "--x", "1")
    file = folder / "verbs_pipeline.py"
    file.write_text(PIPELINE.replace("RATE = 2", "RATE = 30"))
    import sys

    sys.modules.pop("verbs_pipeline")

    status, out, _ = gpucache(capsys, "explain", "verbs_pipeline.py:small", "--x", "1")

    assert status == 0
    assert "constant verbs_pipeline.RATE 2 -> 30" in out


@pytest.mark.parametrize("verb", ["runs", "show", "explain", "stats", "gc", "verify", "doctor"])
def test_every_listing_has_text_and_json(folder: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    """Each verb prints something for a person, and one document with a schema for a program."""
    gpucache(capsys, "run", "verbs_pipeline.py:small", "--x", "1")

    text = gpucache(capsys, verb)
    document = gpucache(capsys, verb, "--json")

    assert (text[0], document[0]) == (0, 0)
    assert text[1].strip()
    assert json.loads(document[1])["schema"].startswith("gpucache.")


def test_unknown_run_is_not_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 4, and how to list what there is."""
    gpucache(capsys, "run", "verbs_pipeline.py:small", "--x", "1")

    status, _, err = gpucache(capsys, "show", "nope")

    assert status == 4
    assert "gpucache runs" in err


def test_store_that_cannot_be_used_exits_with_5(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that holds other things than a store is left alone."""
    (folder / "other").mkdir()
    (folder / "other" / "file").write_text("mine")

    status, _, err = gpucache(capsys, "stats", "--store", str(folder / "other"))

    assert status == 5
    assert "holds other things" in err


def test_gc_changes_nothing_without_apply(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what it would free; only --apply frees it."""
    (folder / "big.py").write_text(
        "import numpy as np, gpucache as gpc\n"
        "@gpc.task\ndef big(n: int) -> np.ndarray:\n    return np.ones(n)\n"
        "@gpc.flow\ndef make() -> float:\n    return float(big(100_000).sum())\n"
    )
    gpucache(capsys, "run", "big.py")

    before = json.loads(gpucache(capsys, "gc", "--max-size", "1KiB", "--json")[1])
    kept = json.loads(gpucache(capsys, "stats", "--json")[1])
    gpucache(capsys, "gc", "--max-size", "1KiB", "--apply")
    after = json.loads(gpucache(capsys, "stats", "--json")[1])

    assert (before["evicted"], kept["blobs"], after["blobs"]) == (1, 1, 0)
    assert after["records"] == 1  # a record outlives its blob


@pytest.mark.slow
def test_bench_measures_in_a_store_of_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every figure is a time that something took; the user's store is not touched, and nothing is left behind."""
    status, out, _ = gpucache(capsys, "bench", "--quick", "--json")
    document = json.loads(out)

    assert (status, document["schema"]) == (0, "gpucache.bench/1")
    assert len(document["figures"]) == 6
    assert all(0 < figure["best_s"] <= figure["median_s"] for figure in document["figures"])
    assert sorted(path.name for path in folder.iterdir()) == ["verbs_pipeline.py"]


def test_help_names_every_verb() -> None:
    """--help is the table of contents; each verb has its own."""
    from gpucache.cli.main import cli

    runner = CliRunner()

    assert all(verb in runner.invoke(cli, ["--help"]).output for verb in VERBS)
    for verb in VERBS:
        assert runner.invoke(cli, [verb, "--help"]).exit_code == 0


def test_pin_keeps_what_gc_would_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By how a digest begins; listed, kept by gc, and let go again. What is not there is not found."""
    path = tmp_path / "a store"
    with gpc.Store(path) as store:
        digest, other = store.put(bytes(range(256)) * 400), store.put(bytes(100_000))
    store_of = ("--store", str(path))

    assert gpucache(capsys, "pin", digest.raw.hex()[:8], *store_of, "--json")[0] == 0
    _, out, _ = gpucache(capsys, "pin", *store_of, "--json")
    (pin,) = json.loads(out)["pins"]
    assert pin["digest"] == digest.raw.hex()
    assert pin["bytes"] >= 102_400
    assert gpucache(capsys, "gc", "--max-size", "1B", "--apply", *store_of)[0] == 0
    with gpc.Store(path) as store:
        assert store.contains(digest)
        assert not store.contains(other)

    assert "1 result, 100.0 KiB: kept no longer" in gpucache(capsys, "pin", "--remove", str(digest), *store_of)[1]
    assert gpucache(capsys, "pin", "0123456789", *store_of)[0] == 4
