"""Two machines and one remote: what one has run, the other does not run; and what a bad line between them costs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from remote_support import S3, Proxy, within

import gpucache as gpc
from gpucache.errors import BadSetting, ExtraMissing
from gpucache.events import CallEnded, Degraded, Event, State, hooks
from gpucache.flows import current_session

pytest.importorskip("obstore", reason="a remote needs obstore: pip install 'gpucache[remote]'")
pytest.importorskip("moto", reason="an S3 server of our own needs moto: pip install 'gpucache[test]'")

pytestmark = pytest.mark.slow

PIPELINE = """
    import numpy as np
    import gpucache as gpc

    class Model:
        def __init__(self, weights):
            self.weights = weights

        def __reduce__(self):
            return Model, (self.weights,)

    @gpc.task
    def load(path):
        with open(path) as file:
            return np.arange(int(file.read()), dtype=np.float64)

    @gpc.task
    def scale(values, factor):
        return values * factor

    @gpc.task
    def train(parts):
        return Model(sum(float(part.sum()) for part in parts))

    @gpc.task
    def report(model):
        return {"weights": model.weights}

    @gpc.flow
    def pipeline(path):
        values = load(path)
        parts = [scale.submit(values, factor) for factor in range(6)]
        return report(train.submit(parts).result())
    """


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """One server for all tests here."""
    server = S3()
    yield server
    server.close()


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    """What lies between this process and the server."""
    made = Proxy(s3.port)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{made.port}")
        yield made
    made.close()


# ---------------------------------------------------------------- two machines


class Machine:
    """A store of its own, and processes that use it."""

    def __init__(self, folder: Path, name: str, **settings: str) -> None:
        self._folder = folder
        chosen = {"STORE": str(folder / name), "MAX_WORKERS": "2", **settings}
        self._environment = {**os.environ, **{f"GPUCACHE_{setting}": value for setting, value in chosen.items()}}

    def gpucache(self, *arguments: str, status: int = 0) -> Any:
        """A verb's document."""
        command = [sys.executable, "-m", "gpucache", *arguments, "--json"]
        done = subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == status, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.mark.slow
def test_what_one_machine_ran_another_does_not(tmp_path: Path, proxy: Proxy, s3: S3) -> None:
    """Calls in the process and on workers, one that reads a file, one whose result is pickled: all hits elsewhere, as the plan
    says, because a trusted key signed them; after the file has changed they run.
    """
    (tmp_path / "flow.py").write_text(textwrap.dedent(PIPELINE))
    (tmp_path / "input.txt").write_text("1000")
    flow = ("flow.py:pipeline", "--path", str(tmp_path / "input.txt"))
    shared = {"REMOTE": s3.url()}
    public = Machine(tmp_path, "any").gpucache("keygen", str(tmp_path / "key.pem"))["public_key"]
    first = Machine(tmp_path, "first", REMOTE_SIGNING_KEY=str(tmp_path / "key.pem"), **shared)
    second, third = (Machine(tmp_path, name, REMOTE_TRUSTED_KEYS=public, **shared) for name in ("second", "third"))

    ran = first.gpucache("run", *flow)
    stats = first.gpucache("stats")["remote"]
    hit = second.gpucache("run", *flow)
    planned = third.gpucache("plan", *flow)

    assert _states(ran) == {"ran"}
    assert (stats["to_send"], stats["failures"]) == (0, 0)
    assert stats["sent"] >= 9
    assert _states(hit) == {"hit"}
    assert len(hit["calls"]) == len(ran["calls"]) == 9
    assert {call["verdict"] for call in planned["calls"]} == {"hits"}
    assert second.gpucache("stats")["remote"]["hits"] >= 9
    findings = {found["name"]: found for found in second.gpucache("doctor")["findings"]}
    assert "answers in" in findings["remote"]["seen"]
    assert "what 1 keys sign" in findings["trust"]["seen"]
    (tmp_path / "input.txt").write_text("1001")
    assert "ran" in _states(second.gpucache("run", *flow))


def _states(document: Any) -> set[str]:
    return {call["state"] for call in document["calls"]}


@pytest.mark.slow
def test_what_could_not_be_sent_is_pushed_later(tmp_path: Path, proxy: Proxy, s3: S3) -> None:
    """The remote is away at the end of a run: the run ends well, says what is left, and `push` sends it when it is back."""
    (tmp_path / "flow.py").write_text(textwrap.dedent(PIPELINE))
    (tmp_path / "input.txt").write_text("10")
    flow = ("flow.py:pipeline", "--path", str(tmp_path / "input.txt"))
    machine = Machine(tmp_path, "one", REMOTE=s3.url(), REMOTE_TIMEOUT_S="1", REMOTE_FLUSH_S="1")

    proxy.mode = "silent"
    ran = machine.gpucache("run", *flow)
    left = machine.gpucache("stats")["remote"]["to_send"]
    refused = machine.gpucache("push", status=5)
    proxy.mode = "pass"
    pushed = machine.gpucache("push")

    assert _states(ran) == {"ran"}
    assert left == 10  # nine calls, and the list of what one of them read
    assert f"({left - 1} results are left to send)" in refused["message"]
    assert pushed["sent"] == left - 1  # all but the pickled one, which nobody signs, so that nobody could believe it


# ---------------------------------------------------------------- a bad line


@gpc.task
def array(seed: int) -> np.ndarray:
    """Large enough to be a file."""
    return np.random.default_rng(seed).integers(0, 256, 100_000, dtype=np.uint8)


@gpc.task
def large(seed: int) -> np.ndarray:
    """Too large to travel with its call."""
    return np.full(5 * 2**20, seed, dtype=np.uint8)


@gpc.task
async def later(number: int) -> int:
    """In an event loop."""
    return number * number


class Heard:
    """What this process says while a test runs."""

    def __init__(self) -> None:
        self.warnings: list[Degraded] = []
        self.states: list[State] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Degraded):
            self.warnings.append(event)
        elif isinstance(event, CallEnded):
            self.states.append(event.state)


@pytest.fixture
def heard() -> Iterator[Heard]:
    """Events from now on."""
    hear = Heard()
    hooks.add(hear)
    yield hear
    hooks.remove(hear)
    gpc.shutdown()


def _right(seeds: range) -> bool:
    """Whether all calls give what their bodies give, made one after another and submitted."""
    futures = array.map([seed + 100 for seed in seeds])
    direct = all(np.array_equal(array(seed), array.fn(seed)) for seed in seeds)
    submitted = all(
        np.array_equal(one.result(), array.fn(seed + 100)) for one, seed in zip(futures, seeds, strict=True)
    )
    return direct and submitted and np.array_equal(large(7), large.fn(7))


def _machine(folder: Path, name: str, url: str, **settings: Any) -> None:
    gpc.init(store=folder / name, remote=url, **{"runtime": "inline", "remote_timeout_s": 5.0, **settings})


@pytest.mark.parametrize("mode", ["silent", "cut", "corrupt"])
def test_a_bad_line_costs_one_warning_and_no_value(
    mode: str, tmp_path: Path, proxy: Proxy, s3: S3, heard: Heard
) -> None:
    """Answers that never come, that end half way or that have another bit: bodies run, the values are right, one warning."""
    url = s3.url()
    _machine(tmp_path, "first", url)
    assert _right(range(5))
    gpc.shutdown()
    heard.states.clear()
    proxy.mode = mode

    with within(10.0):
        _machine(tmp_path, "second", url, remote_timeout_s=0.3, remote_flush_s=0.3)
        right = _right(range(5))

    assert right
    assert set(heard.states) == {State.RAN}
    assert len(heard.warnings) == 1, heard.warnings
    gpc.shutdown()

    proxy.mode = "pass"
    heard.states.clear()
    _machine(tmp_path, "third", url)
    assert _right(range(5))
    assert State.HIT in heard.states


def test_what_was_damaged_on_its_way_up_is_never_believed(tmp_path: Path, proxy: Proxy, s3: S3, heard: Heard) -> None:
    """A server that keeps what it got: readers find the damage, run, and send what is right."""
    url = s3.url()
    proxy.mode = "corrupt-up"
    _machine(tmp_path, "first", url)
    assert _right(range(3))
    gpc.shutdown()
    proxy.mode = "pass"

    _machine(tmp_path, "second", url)
    right = _right(range(3))
    gpc.shutdown()
    heard.states.clear()
    _machine(tmp_path, "third", url)
    right_again = _right(range(3))

    assert right
    assert right_again
    assert set(heard.states) == {State.HIT}


def test_a_remote_that_is_gone_costs_one_warning(tmp_path: Path, proxy: Proxy, s3: S3, heard: Heard) -> None:
    """Connections are refused: nothing waits, everything runs."""
    proxy.close()

    with within(10.0):
        _machine(tmp_path, "one", s3.url(), remote_flush_s=0.3)
        right = _right(range(5))
        gpc.shutdown()

    assert right
    assert len([event for event in heard.warnings if "left alone" in event.why]) == 1
    assert len(heard.warnings) == 2  # the other says what was not sent


def test_what_is_here_asks_nobody(tmp_path: Path, heard: Heard) -> None:
    """A hit in this machine's store never opens the remote: no request, no import."""
    for _ in range(2):
        _machine(tmp_path, "one", f"file://{tmp_path}/shared")
        array(1)
        session = current_session()
        opened = session._remote is not None
        gpc.shutdown()

    assert heard.states == [State.RAN, State.HIT]
    assert not opened


def test_explain_and_cached_see_what_others_have(tmp_path: Path, heard: Heard) -> None:
    """What says whether a call would run says the same as the call."""
    for name in ("one", "two", "three"):
        _machine(tmp_path, name, f"file://{tmp_path}/shared")
        if name == "one":
            assert not array.explain(1).hit
            array(1)
        elif name == "two":
            assert array.explain(1).hit
        else:
            found = array.cached(1)
            assert found is not None
            assert np.array_equal(found.value, array.fn(1))
        gpc.shutdown()


def test_an_async_task_is_found(tmp_path: Path, heard: Heard) -> None:
    """Its event loop goes on while others are asked."""
    for name in ("one", "two"):
        _machine(tmp_path, name, f"file://{tmp_path}/shared")
        assert asyncio.run(later(4)) == 16
        gpc.shutdown()

    assert heard.states == [State.RAN, State.HIT]


def test_settings_that_can_not_be_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such scheme, no such key, no obstore: an error in words before anything runs."""
    with pytest.raises(BadSetting, match=r"remote='ftp://x'.*s3://bucket/prefix"):
        gpc.init(remote="ftp://x")

    with pytest.raises(BadSetting, match=r"remote_trusted_keys='6f1d'.*64 hexadecimal digits"):
        gpc.init(remote_trusted_keys=["ab" * 32, "6f1d"])

    gpc.init(store=tmp_path / "store", runtime="inline", remote=f"file://{tmp_path}/shared")
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'gpucache\[remote\]'"):
        array(1)
    gpc.shutdown()
