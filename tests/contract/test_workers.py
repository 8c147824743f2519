"""What every runtime's workers do alike: threads of this process, local processes, Ray actors."""

from __future__ import annotations

import concurrent.futures
import faulthandler
import importlib.util
import os
import site
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

import gpucache as gpc
from gpucache.config import Config
from gpucache.errors import (
    BadSetting,
    Bug,
    NotStorable,
    RemoteError,
    RemoteTraceback,
    RuntimeUnreachable,
    TaskTimeout,
    WorkerLost,
)
from gpucache.events import State
from gpucache.runtime.demand import Env, Resources
from gpucache.runtime.driver import Driver
from gpucache.workers import context
from gpucache.workers.in_process import InProcessStarter
from gpucache.workers.main import settle
from gpucache.workers.messages import Setup

Make = Callable[..., Driver]


def make_driver(runtime: str, **options: object) -> Driver:
    config = Config(runtime="local" if runtime == "in_process" else runtime, max_workers=2)
    starter = InProcessStarter() if runtime == "in_process" else None
    return Driver(config, starter=starter, **options)  # type: ignore[arg-type]


@pytest.fixture(
    params=["in_process", "local", pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.ray])], scope="module"
)
def runtime(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param != "ray":
        yield request.param
        return
    with make_driver("ray") as holds_ray:  # Ray starts once, and not for each driver of these tests
        holds_ray.submit(abs, (-1,)).result()
        yield request.param


@pytest.fixture(scope="module")
def driver(runtime: str) -> Iterator[Driver]:
    with make_driver(runtime) as made:
        yield made


class Odd(Exception):
    """Rebuilt from its arguments alone it fails, and it holds what can't be pickled."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__("only one")
        self.lock = threading.Lock()


class Particular(Exception):
    """Its __init__ wants other arguments than those that it has."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Prefixed(Exception):
    """Rebuilt from its arguments it says another text."""

    def __init__(self, text: str) -> None:
        super().__init__(f"bad: {text}")


class Rich(Exception):
    """An exception with more than its arguments."""


def raise_rich() -> None:
    problem = Rich("a", 2)
    problem.detail = {"k": 1}  # type: ignore[attr-defined]
    problem.add_note("a note")
    raise problem


def raise_odd() -> None:
    raise Odd(1, 2)


def test_a_result_comes_back(driver: Driver) -> None:
    """Positional and keyword arguments go there, the value comes back."""
    assert driver.submit(divmod, (7, 2)).result() == (3, 1)
    assert driver.submit(int, ("ff",), {"base": 16}).result() == 255


def test_closures_go_by_value(driver: Driver) -> None:
    """A local function takes what it closes over with it."""
    factor = 3

    def scaled(x: int) -> int:
        return factor * x

    assert driver.submit(scaled, (4,)).result() == 12


def test_many_calls_from_many_threads(driver: Driver) -> None:
    """Calls submitted by several threads at once all end, each with its own result."""
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        futures = list(threads.map(lambda n: driver.submit(pow, (n, 2)), range(200)))

    assert [future.result() for future in futures] == [n * n for n in range(200)]


def test_large_values_travel(driver: Driver) -> None:
    """Values larger than a socket's buffer go both ways whole."""
    value = os.urandom(3 * 2**20)

    assert driver.submit(bytes.swapcase, (value,)).result() == value.swapcase()


def test_an_exception_arrives_whole(driver: Driver) -> None:
    """Same type, arguments, attributes and notes, and the remote traceback as its cause."""
    with pytest.raises(Rich) as caught:
        driver.submit(raise_rich).result()

    assert caught.value.args == ("a", 2)
    assert caught.value.detail == {"k": 1}  # type: ignore[attr-defined]
    assert caught.value.__notes__ == ["a note"]
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in raise_rich" in str(caught.value.__cause__)
    assert "gpucache/workers" not in str(caught.value.__cause__)


def raise_this(problem_of: Callable[[], Exception]) -> None:
    raise problem_of()


def test_an_exception_with_an_init_of_its_own_arrives_whole(driver: Driver) -> None:
    """Whatever its __init__ asks for, it has its type, arguments, attributes and text."""
    with pytest.raises(Particular, match=r"^code 7$") as caught:
        driver.submit(raise_this, (partial(Particular, code=7),)).result()
    assert (caught.value.args, caught.value.code) == (("code 7",), 7)
    with pytest.raises(Prefixed, match=r"^bad: luck$"):
        driver.submit(raise_this, (partial(Prefixed, "luck"),)).result()


def test_an_exception_that_cannot_travel_is_told(driver: Driver) -> None:
    """One that can't be pickled arrives as a RuntimeError with its name, its text and the remote traceback."""
    with pytest.raises(RemoteError, match="Odd: only one") as caught:
        driver.submit(raise_odd).result()

    assert isinstance(caught.value, RuntimeError)
    assert "in raise_odd" in str(caught.value.__cause__)


def test_a_result_that_cannot_travel_is_refused(driver: Driver) -> None:
    """A lock can't be returned: NotStorable names its type."""
    with pytest.raises(NotStorable, match=r"_thread\.lock"):
        driver.submit(threading.Lock).result()


def test_an_argument_that_cannot_travel_fails_its_call(driver: Driver) -> None:
    """The future has the error, and the driver goes on."""
    future = driver.submit(id, (threading.Lock(),))

    with pytest.raises(TypeError, match="pickle"):
        future.result()
    assert driver.submit(abs, (-1,)).result() == 1


def test_an_exit_is_an_exception(driver: Driver) -> None:
    """A call that raises SystemExit ends itself, not its worker."""
    with pytest.raises(SystemExit):
        driver.submit(sys.exit, (3,)).result()


def test_retries(driver: Driver, tmp_path: Path) -> None:
    """A call that raised is run again, as often as it was told."""

    def third_time_lucky(log: Path) -> int:
        with log.open("a") as file:
            file.write("x")
        tries = len(log.read_text())
        if tries < 3:
            raise OSError(tries)
        return tries

    assert driver.submit(third_time_lucky, (tmp_path / "log",), retries=2).result() == 3
    with pytest.raises(OSError, match="1"):
        driver.submit(third_time_lucky, (tmp_path / "other",)).result()


class _SlowToArrive:
    """As a task's module that imports torch."""

    def __reduce__(self) -> tuple[object, ...]:
        return _after_a_while, (0.6,)


def _after_a_while(seconds: float) -> str:
    threading.Event().wait(seconds)
    return "arrived"


def test_what_a_call_imports_does_not_count_in_its_time(driver: Driver) -> None:
    """A time limit is for what the call does, counted from when all of it has arrived in the worker."""
    assert driver.submit(str.upper, (_SlowToArrive(),), timeout_s=0.3).result() == "ARRIVED"
    with pytest.raises(TaskTimeout):
        driver.submit(_after_a_while, (60.0,), timeout_s=0.3).result()


def test_an_initializer_runs_in_each_worker(runtime: str) -> None:
    """What the initializer did is there when the first call runs."""
    with make_driver(runtime, initializer=_mark, initargs=("seen",)) as driver:
        assert driver.submit(_marked).result() == "seen"


def _mark(text: str) -> None:
    vars(sys)["gpucache_test_mark"] = text


def _marked() -> object:
    return vars(sys).get("gpucache_test_mark")


def test_a_failing_initializer_breaks_the_driver(runtime: str) -> None:
    """Every call fails with a BrokenExecutor whose cause is what the initializer raised."""
    with make_driver(runtime, initializer=raise_rich) as driver:
        with pytest.raises(concurrent.futures.BrokenExecutor, match="initializer raised Rich") as caught:
            driver.submit(abs, (-1,)).result()
        assert isinstance(caught.value.__cause__, Rich)


def test_workers_start_when_needed_and_are_reused(runtime: str) -> None:
    """A driver has no worker before its first call, and one after many calls one after another."""
    with make_driver(runtime) as driver:
        assert driver.workers() == []
        for n in range(5):
            driver.submit(abs, (n,)).result()
        (worker,) = driver.workers()

    assert worker.stage == "idle"
    assert worker.pid is not None


def test_a_worker_knows_where_it_is(driver: Driver) -> None:
    """current() names the worker and its device inside a call, and is None in the driver."""
    inside = driver.submit(context.current).result()

    assert inside.worker.startswith("w")
    assert (inside.device, inside.rank, inside.size) == ("cpu", 0, 1)
    assert context.current() is None


def test_a_gang_runs_once_per_member(driver: Driver, tmp_path: Path) -> None:
    """Each member runs the body with its own rank, all at the same time; the result is rank 0's."""

    def member(place: Path) -> int:
        here = context.current()
        assert here is not None
        (place / str(here.rank)).touch()
        while len(list(place.iterdir())) < here.size:  # a member alone would wait here for ever
            pass
        return 100 + here.rank

    result = driver.submit(member, (tmp_path,), resources=Resources(workers=2)).result()

    assert result == 100
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0", "1"]


def test_after_shutdown_nothing_is_taken(runtime: str) -> None:
    """submit() raises RuntimeError, as every executor does; what was there has ended."""
    driver = make_driver(runtime)
    future = driver.submit(abs, (-5,))
    driver.shutdown()

    assert future.result(timeout=0) == 5
    assert driver.workers() == []
    with pytest.raises(RuntimeError, match="after shutdown"):
        driver.submit(abs, (-5,))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is on sys.path, for modules that a test writes."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("shipped_main", "shipped_helper"):
        sys.modules.pop(name, None)


def write(project: Path, scale: int) -> None:
    (project / "shipped_helper.py").write_text(f"SCALE = {scale}\n\ndef scale(x):\n    return {scale} * x, SCALE\n")
    (project / "shipped_main.py").write_text("from shipped_helper import scale\n\ndef run(x):\n    return scale(x)\n")


def load(project: Path, scale: int) -> ModuleType:
    write(project, scale)
    importlib.invalidate_caches()
    return importlib.import_module("shipped_main")


def test_an_edited_module_runs_as_it_was_imported(runtime: str, project: Path) -> None:
    """Workers that start after a file was edited run the text that the driver had imported, not the new one."""
    module = load(project, 2)
    with make_driver(runtime) as driver:
        driver.submit(abs, (1,)).result()
        write(project, 30)
        assert driver.submit(module.run, (1,)).result() == (2, 2)
        for worker in driver.workers():
            assert worker.stage == "idle"


def test_a_module_edited_before_the_first_call(runtime: str, project: Path) -> None:
    """Also if the edit came before the driver could take the text: then its functions go by value, from the live ones."""
    module = load(project, 2)
    write(project, 30)

    with make_driver(runtime) as driver:
        assert driver.submit(module.run, (1,)).result() == (2, 2)


def test_a_module_imported_after_the_worker_started(driver: Driver, project: Path) -> None:
    """A warm worker gets the modules that the driver imports later."""
    driver.submit(abs, (1,)).result()
    module = load(project, 4)
    write(project, 30)

    assert driver.submit(module.run, (1,)).result() == (4, 4)


def test_a_reloaded_module_runs_as_it_is_now(runtime: str, project: Path) -> None:
    """After importlib.reload the workers that have the old code are replaced."""
    module = load(project, 2)
    with make_driver(runtime) as driver:
        assert driver.submit(module.run, (1,)).result() == (2, 2)
        write(project, 300)
        importlib.reload(sys.modules["shipped_helper"])
        importlib.reload(module)

        assert driver.submit(module.run, (1,)).result() == (300, 300)


def test_environment_variables(runtime: str) -> None:
    """Each environment has workers of its own, in which its variables are set."""
    if runtime == "in_process":
        pytest.skip("threads share this process's environment")
    with make_driver(runtime) as driver:
        seen = [
            driver.submit(os.getenv, ("GC_TEST",), resources=Resources(env=env)).result()
            for env in (Env(env_vars={"GC_TEST": "one"}), Env(env_vars={"GC_TEST": "two"}), None)
        ]

    assert seen == ["one", "two", None]


def test_who_waited_for_a_warm_worker_gets_another() -> None:
    """The clock ends the waiting for a worker that stays busy: the idle one of another kind makes way."""
    reads, writes = os.pipe()
    with Driver(Config(max_workers=2, warm_wait_s=0.01), starter=InProcessStarter()) as driver:
        driver.submit(abs, (-1,), resources=Resources(env=Env(env_vars={"GC_TEST": "one"}))).result(60)
        busy = driver.submit(os.read, (reads, 1))
        try:
            assert driver.submit(abs, (-2,)).result(60) == 2
            assert not busy.done()
        finally:
            os.close(writes)
        busy.result(60)
    os.close(reads)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), 1e9])
def test_a_wait_that_makes_no_sense_is_refused(seconds: float) -> None:
    """Seconds below nothing or beyond a day: said with the setting's name."""
    with pytest.raises(BadSetting, match="warm_wait_s"):
        Config(warm_wait_s=seconds)


def test_only_ray_builds_environments() -> None:
    """pip= and image= on local workers are refused at submit, with what to do instead."""
    with make_driver("local") as driver, pytest.raises(RuntimeUnreachable, match='use runtime="ray"'):
        driver.submit(abs, (1,), resources=Resources(env=Env(pip=["x"])))


def test_packages_need_virtualenv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray builds environments with virtualenv: without it, pip= is refused at submit, with the command that mends it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "virtualenv" else Bug)
    with make_driver("ray") as driver, pytest.raises(RuntimeUnreachable, match="pip install virtualenv"):
        driver.submit(abs, (1,), resources=Resources(env=Env(pip=["x"])))


def test_packages_of_a_worker_come_before_the_driver_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project first, then what was installed for the worker, then the driver's installed packages."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(os, "chdir", lambda _: None)
    monkeypatch.setattr(site, "getsitepackages", lambda: ["/env/lib/site-packages"])
    monkeypatch.setattr(faulthandler, "enable", lambda: None)
    setup = Setup(0, "w0", "cpu", (), "/", ("/project", "/driver/lib/site-packages", "/driver/extra"), ())

    settle(setup)

    assert sys.path == ["/project", "/env/lib/site-packages", "/driver/lib/site-packages", "/driver/extra"]


@pytest.mark.slow
@pytest.mark.ray
def test_packages_are_installed_on_ray(tmp_path: Path) -> None:
    """A task with Env(pip=...) finds its packages, and its result is kept and found again."""
    pytest.importorskip("virtualenv", reason="Ray builds environments with virtualenv, which is not installed")
    wheel = tmp_path / "gpucache_tiny-1.0-py3-none-any.whl"
    about = {
        "METADATA": "Metadata-Version: 2.1\nName: gpucache-tiny\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("gpucache_tiny/__init__.py", "VALUE = 42\n")
        for name, text in about.items():
            archive.writestr(f"gpucache_tiny-1.0.dist-info/{name}", text)

    @gpc.task(env=gpc.Env(pip=[str(wheel)]), name="tiny")
    def value() -> int:
        import gpucache_tiny  # type: ignore[import-not-found]

        return int(gpucache_tiny.VALUE)

    gpc.init(runtime="ray", store=tmp_path / "store", max_workers=1)
    try:
        first = value.submit()
        assert (first.result(), first.state) == (42, State.RAN)
        again = value.submit()
        assert (again.result(), again.state) == (42, State.HIT)
    finally:
        gpc.shutdown()


@pytest.mark.slow
@pytest.mark.ray
def test_actors_that_cannot_connect_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another machine the driver's address does not exist; then the same calls go by actor calls."""
    from gpucache.workers import on_ray

    class Elsewhere(on_ray.Listener):
        def __init__(self) -> None:
            super().__init__()
            self.address = "\0gpucache-nowhere"

    monkeypatch.setattr(on_ray, "Listener", Elsewhere)
    with make_driver("ray") as driver:
        assert driver.submit(divmod, (7, 2)).result() == (3, 1)
        with pytest.raises(Rich) as caught:
            driver.submit(raise_rich).result()
        with pytest.raises(WorkerLost):
            driver.submit(os._exit, (3,)).result()

    assert isinstance(caught.value.__cause__, RemoteTraceback)


def test_what_a_call_prints_is_seen_while_it_runs(
    runtime: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Both of a worker's outputs come out of the driver's standard error, line by line; its standard output is its own."""
    if runtime == "in_process":
        pytest.skip("threads print where the driver prints")
    gate, seen = tmp_path / "gate", []
    os.mkfifo(gate)

    def talk() -> None:
        print("to standard output")
        print("to standard error", file=sys.stderr)
        gate.read_text()

    with make_driver(runtime) as driver:
        future = driver.submit(talk)
        with gate.open("w"):
            seen = capfd.readouterr()
        future.result()

    assert seen.out == ""
    assert "to standard output\nto standard error\n" in seen.err
