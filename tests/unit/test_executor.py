"""gpucache.Executor where it is more, or other, than the standard library's tests of executors look at."""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpucache as gpc
from gpucache.errors import BadSetting, RemoteTraceback, TaskTimeout
from gpucache.executors import Executor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(2, runtime="local") as made:
        yield made


def square(x: int) -> int:
    return x * x


def test_it_is_an_executor(executor: Executor) -> None:
    """isinstance says so, and its futures are the standard library's."""
    assert isinstance(executor, concurrent.futures.Executor)
    assert isinstance(executor.submit(square, 3), concurrent.futures.Future)


def test_lambdas_and_closures(executor: Executor) -> None:
    """What ProcessPoolExecutor can't send, it can."""
    base = 10

    assert executor.submit(lambda x: x + base, 5).result() == 15


def test_map_keeps_order_in_chunks(executor: Executor) -> None:
    """Chunks of any size, the last one short, give the same results in the same order; unequal inputs stop at the shorter."""
    for chunksize in (1, 4, 100):
        assert list(executor.map(square, range(10), chunksize=chunksize)) == [n * n for n in range(10)]
    assert list(executor.map(pow, [2, 3, 4], [2, 2], chunksize=2)) == [4, 9]


def test_map_refuses_a_chunksize_of_nothing(executor: Executor) -> None:
    """As the standard library does."""
    with pytest.raises(ValueError, match="chunksize must be >= 1"):
        executor.map(square, [1], chunksize=0)


def test_a_waiting_call_can_be_cancelled(executor: Executor, tmp_path: Path) -> None:
    """cancel() of a queued call succeeds at once and wait() sees it; the calls that hold the workers go on."""
    gates = [tmp_path / "first", tmp_path / "second"]
    for gate in gates:
        os.mkfifo(gate)
    holding = [executor.submit(gate.read_text) for gate in gates]
    queued = executor.submit(square, 2)

    assert queued.cancel()
    assert concurrent.futures.wait([queued], timeout=5).done == {queued}
    for gate in gates:
        gate.write_text("go")
    assert [future.result(timeout=10) for future in holding] == ["go", "go"]


def test_retries_and_timeouts_are_options(tmp_path: Path) -> None:
    """An executor's calls share its retries and its time limit."""
    tries = tmp_path / "tries"

    def second_time() -> str:
        with tries.open("a") as log:
            log.write("x")
        if tries.read_text() == "x":
            raise OSError("first")
        return "second"

    with Executor(1, runtime="local", retries=1, timeout="30s") as patient:
        assert patient.submit(second_time).result() == "second"
    with Executor(1, runtime="local", timeout=1.0) as strict:
        with pytest.raises(TaskTimeout):
            strict.submit(lambda: threading.Event().wait()).result()
        assert strict.submit(abs, -2).result() == 2


def test_sizes_and_times_are_written_as_for_tasks() -> None:
    """gpu_memory="1GiB", memory="512MB", timeout="90s"; what is none of these is refused."""
    with Executor(1, gpus=0.5, gpu_memory="1GiB", memory="512MB", timeout="90s") as executor:
        assert executor.submit(square, 3).result() == 9
    with pytest.raises(BadSetting, match="gpu_memory"):
        Executor(1, gpu_memory="much")


def test_a_lost_worker_is_a_broken_executor_to_who_expects_one(executor: Executor) -> None:
    """A call that kills its worker each time fails as in a process pool; the executor goes on."""
    with pytest.raises(concurrent.futures.BrokenExecutor):
        executor.submit(os._exit, 3).result()
    assert executor.submit(square, 2).result() == 4


def test_inline_runs_here() -> None:
    """runtime="inline" runs calls in this process, at submit, with exceptions in the future."""
    with Executor(runtime="inline") as here:
        assert here.submit(os.getpid).result() == os.getpid()
        assert isinstance(here.submit(int, "x").exception(), ValueError)


def test_an_initializer_must_be_callable() -> None:
    """As the standard library says it."""
    with pytest.raises(TypeError, match="initializer must be a callable"):
        Executor(initializer=3)  # type: ignore[arg-type]


def count_and_square(log: str, x: int) -> int:
    with Path(log).open("a") as out:
        out.write("x")
    if x < 0:
        raise LookupError(x)
    return x * x


def test_cached_calls_run_once(tmp_path: Path) -> None:
    """With cache=True equal calls run once, in this executor and in the next one; exceptions are never kept."""
    log = tmp_path / "log"
    with gpc.Store(tmp_path / "store") as store:
        for _ in range(2):
            with Executor(2, runtime="local", cache=True, store=store) as cached:
                assert [cached.submit(count_and_square, str(log), 7).result() for _ in range(3)] == [49] * 3
                assert list(cached.map(count_and_square, [str(log)] * 2, [7, 7])) == [49, 49]
        assert log.read_text() == "x"
        with Executor(2, runtime="local", cache=True, store=store) as cached:
            for _ in range(2):
                with pytest.raises(LookupError) as caught:
                    cached.submit(count_and_square, str(log), -1).result()
                assert isinstance(caught.value.__cause__, RemoteTraceback)

    assert log.read_text() == "xxx"


def test_a_cached_executor_takes_nothing_after_shutdown(tmp_path: Path) -> None:
    """Not even calls whose answer is known."""
    with gpc.Store(tmp_path / "store") as store:
        cached = Executor(1, runtime="local", cache=True, store=store)
        cached.submit(square, 3).result()
        cached.shutdown()

        with pytest.raises(RuntimeError, match="after shutdown"):
            cached.submit(square, 3)


def test_initializers_and_caches_do_not_mix() -> None:
    """A result may depend on what the initializer did, which no key would tell."""
    with pytest.raises(BadSetting, match="None with cache=True"):
        Executor(initializer=square, initargs=(1,), cache=True)
