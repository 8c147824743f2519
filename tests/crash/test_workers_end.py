"""However the program ends, no process of its is left: local workers, Ray's processes, what calls have started."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_MARK = "GC_TEST_MARK"
_DEADLINE_MS = 20_000
_PRELUDE = """
import atexit, os, subprocess, sys, threading
from gpucache.config import Config
from gpucache.executors import Executor
from gpucache.runtime.driver import Driver

def hold(fifo):
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    with open(fifo, "w") as out:
        out.write("running")
    threading.Event().wait()

def note(path):
    with open(path, "a") as out:
        out.write("done")

runtime, fifo, log = sys.argv[1:]
"""


class Program:
    """A driver in a process of its own, and every process that has its mark."""

    def __init__(self, folder: Path, runtime: str, text: str) -> None:
        self.mark = uuid.uuid4().hex
        self.fifo, self.log = folder / "fifo", folder / "log"
        os.mkfifo(self.fifo)
        script = folder / "program.py"
        script.write_text(_PRELUDE + textwrap.dedent(text))
        self.process = subprocess.Popen(
            [sys.executable, str(script), runtime, str(self.fifo), str(self.log)],
            env={**os.environ, _MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_running(self) -> None:
        """Return when a call of the program runs."""
        assert self.fifo.read_text() == "running"

    def end(self) -> tuple[int, str, str]:
        """Wait for the program's end."""
        out, err = self.process.communicate(timeout=_DEADLINE_MS / 1000)
        return self.process.returncode, out, err

    def left(self) -> list[str]:
        """The command lines of its processes that are still there when the deadline has passed; they may start others as they end."""
        ends_at = time.monotonic() + _DEADLINE_MS / 1000
        while (found := self._marked()) and (left_s := ends_at - time.monotonic()) > 0:
            try:
                descriptor = os.pidfd_open(found[0])
            except ProcessLookupError:
                continue
            watched = select.poll()
            watched.register(descriptor, select.POLLIN)
            watched.poll(left_s * 1000)
            os.close(descriptor)
        return [_command(pid) for pid in self._marked()]

    def _marked(self) -> list[int]:
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is_marked(pid)]

    def _is_marked(self, pid: int) -> bool:
        try:
            return f"{_MARK}={self.mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False

    def close(self) -> None:
        """Leave nothing behind, whatever the test found."""
        for pid in self._marked():
            os.kill(pid, signal.SIGKILL)
        self.process.communicate()


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@pytest.fixture(params=["local", pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.ray])])
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[list[Program]]:
    made: list[Program] = []
    yield made
    for program in made:
        program.close()


HOLDING = """
driver = Driver(Config(runtime=runtime, max_workers=2))
future = driver.submit(hold, (fifo,))
future.result()
"""


def start(programs: list[Program], folder: Path, runtime: str, text: str) -> Program:
    programs.append(Program(folder, runtime, text))
    return programs[-1]


def test_killed_driver(programs: list[Program], tmp_path: Path, runtime: str) -> None:
    """SIGKILL of the driver in the middle of a call ends its workers, and what their calls had started."""
    program = start(programs, tmp_path, runtime, HOLDING)
    program.wait_until_running()

    program.process.kill()

    assert program.left() == []


def test_terminated_driver(programs: list[Program], tmp_path: Path) -> None:
    """So does SIGTERM, which runs no exit hooks either."""
    program = start(programs, tmp_path, "local", HOLDING)
    program.wait_until_running()

    program.process.terminate()

    assert program.left() == []


def test_interrupted_driver(programs: list[Program], tmp_path: Path, runtime: str) -> None:
    """Ctrl-C ends the program at once with a KeyboardInterrupt, though a call would run for ever."""
    program = start(programs, tmp_path, runtime, HOLDING)
    program.wait_until_running()

    program.process.send_signal(signal.SIGINT)
    status, _, err = program.end()

    assert status in ((1, -signal.SIGINT) if runtime == "ray" else (-signal.SIGINT,))  # Ray may change it at exit
    assert "KeyboardInterrupt" in err
    assert program.left() == []


def test_interrupted_while_it_ends(programs: list[Program], tmp_path: Path) -> None:
    """Ctrl-C also ends a program whose main thread is done and which waits for its calls."""
    program = start(programs, tmp_path, "local", HOLDING.replace("future.result()", ""))
    program.wait_until_running()

    program.process.send_signal(signal.SIGINT)
    program.end()

    assert program.left() == []


def test_a_program_that_raises(programs: list[Program], tmp_path: Path, runtime: str) -> None:
    """An exception in the program ends it when its calls have ended, and leaves nothing."""
    program = start(
        programs,
        tmp_path,
        runtime,
        """
        driver = Driver(Config(runtime=runtime))
        driver.submit(note, (log,))
        raise KeyError("the program's own")
        """,
    )

    status, _, err = program.end()

    assert status == 1
    assert "the program's own" in err
    assert program.log.read_text() == "done"
    assert program.left() == []


def test_a_program_that_just_ends(programs: list[Program], tmp_path: Path, runtime: str) -> None:
    """Without any shutdown, what was submitted still runs, nothing is printed and nothing is left."""
    program = start(
        programs,
        tmp_path,
        runtime,
        """
        executor = Executor(2, runtime=runtime)
        executor.submit(note, log)
        """,
    )

    assert program.end() == (0, "", "")
    assert program.log.read_text() == "done"
    assert program.left() == []


def test_shutdown_without_waiting(programs: list[Program], tmp_path: Path) -> None:
    """shutdown(wait=False) returns at once; the program waits for its calls at its end."""
    program = start(
        programs,
        tmp_path,
        "local",
        """
        executor = Executor(2, runtime=runtime)
        executor.submit(note, log)
        executor.shutdown(wait=False)
        """,
    )

    assert program.end() == (0, "", "")
    assert program.log.read_text() == "done"
    assert program.left() == []


def test_nothing_is_taken_at_the_end(programs: list[Program], tmp_path: Path) -> None:
    """An exit hook that submits a call gets RuntimeError, as with the standard library's executors."""
    program = start(
        programs,
        tmp_path,
        "local",
        """
        executor = Executor(2, runtime=runtime)

        @atexit.register
        def late():
            try:
                executor.submit(note, log)
            except RuntimeError as refusal:
                print(refusal)
        """,
    )

    assert program.end() == (0, "cannot schedule new futures after shutdown\n", "")


def test_a_forgotten_executor_ends_its_workers(programs: list[Program], tmp_path: Path) -> None:
    """An executor that nobody holds any more finishes its calls and ends its workers, while the program goes on."""
    program = start(
        programs,
        tmp_path,
        "local",
        """
        def main():
            executor = Executor(1, runtime=runtime)
            future = executor.submit(os.getpid)
            watched = os.pidfd_open(future.result())
            del executor
            import select
            assert select.select([watched], [], [], 10)[0], "the worker is still there"
        main()
        """,
    )

    assert program.end() == (0, "", "")
