"""The same tasks as a script, a module, an import, under pytest, in a child of multiprocessing, a notebook, a worker: one key.

The first that comes runs the bodies; everyone after it, on the same store, hits.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from pipeline_support import REPOSITORY, Project

pytestmark = pytest.mark.slow

PROGRAM = """
import dataclasses
import enum
import functools
import json
import sys

import gpucache as gpc
from deep import scale

LIMITS = {"low": 0, "high": [10, 20]}
TABLE = {"twice": lambda x: x * 2, "scale": scale}


class Mode(enum.Enum):
    FAST = 1
    SLOW = 2


@dataclasses.dataclass
class Settings:
    rate: float = 0.5
    mode: Mode = Mode.FAST

    def rated(self, x):
        return x * self.rate


def logged(fn):
    @functools.wraps(fn)
    def wrapper(*args, **options):
        return fn(*args, **options)

    return wrapper


@logged
def norm(x, limit=LIMITS["high"][0]):
    return min(scale(x), limit)


@gpc.task
def clean(values):
    print("ran clean", file=sys.stderr)
    return [TABLE["twice"](norm(value)) for value in values]


@gpc.task
def train(values, settings=Settings(), start=functools.partial(norm, limit=3)):
    print("ran train", file=sys.stderr)
    return Settings(settings.rated(sum(values)) + start(5), Mode.SLOW)


@gpc.task(cache=False)
def keys_here():
    return [str(clean.key([1, 2])), str(train.key([1.0], Settings(0.25))), str(train.key([1.0]))]


def tell():
    model = train(clean([1, 2, 3]), Settings(0.25))
    return {"keys": keys_here.fn(), "rate": model.rate, "mode": model.mode.name}


if __name__ == "__main__":
    print("TOLD" + json.dumps(tell()))
"""
IN_PYTEST = """
import json, program

def test_it():
    print("TOLD" + json.dumps(program.tell()))
"""
IN_A_CHILD = """
import json, multiprocessing, runpy, sys

if __name__ == "__main__":
    sys.argv = ["program.py"]
    program = runpy.run_path("program.py", run_name="program")
    import program
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print("TOLD" + json.dumps(pool.apply(program.tell)))
"""
SUBMITTED = """
import json, program, gpucache as gpc

if __name__ == "__main__":
    keys = program.keys_here.submit().result()
    model = program.train.submit(program.clean.submit([1, 2, 3]), program.Settings(0.25)).result()
    print("TOLD" + json.dumps({"keys": keys, "rate": model.rate, "mode": model.mode.name}))
    gpc.shutdown()
"""


ASSERTING = """
import json, sys
import gpucache as gpc

LEAST = -5

def helper(x):
    assert x > LEAST, f"{x} is too small"
    return [y * 2 for y in (x,) if (lambda z: z > LEAST)(y)][0]


@gpc.task
def own(x):
    assert isinstance(x, int)
    print("ran own", file=sys.stderr)
    return helper(x) + 1


def tell(call=own):
    return {"key": str(own.key(1)), "values": [call(1), call(1)]}


def test_called():
    print("TOLD" + json.dumps(tell()))


def test_submitted():
    print("TOLD" + json.dumps(tell(lambda x: own.submit(x).result())))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("one") / "project")
    project.write("deep.py", "FACTOR = 3\n\ndef scale(x):\n    return x * FACTOR\n").write("program.py", PROGRAM)
    project.write("tests/test_program.py", IN_PYTEST).write("child.py", IN_A_CHILD).write("submitted.py", SUBMITTED)
    return project.write("pyproject.toml", "[tool.pytest.ini_options]\npythonpath = ['.']\n")


def told(
    project: Project, *command: str, cwd: Path | None = None, runtime: str = "inline"
) -> tuple[dict[str, object], list[str]]:
    """What a process told, and which bodies ran in it."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *([] if cwd is None else [str(project.root)]), *extra_paths()]),
        "GPUCACHE_STORE": str(project.root.parent / "store"),
        "GPUCACHE_RUNTIME": runtime,
        "GPUCACHE_MAX_WORKERS": "1",
        "PYTHONHASHSEED": str(len(command)),
    }
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd or project.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if "TOLD" in line)
    found = json.loads(line.partition("TOLD")[2])
    return found, [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("ran ")]


def extra_paths() -> list[str]:
    return [path for path in sys.path if path.endswith("site-packages")]


@pytest.fixture(scope="module")
def first(project: Project) -> dict[str, object]:
    """The script runs first, and everything in it runs."""
    found, ran = told(project, "program.py")
    assert ran == ["ran clean", "ran train"]
    return found


WAYS = {
    "script": ["program.py"],
    "module": ["-m", "program"],
    "import": ["-c", "import json, program; print('TOLD' + json.dumps(program.tell()))"],
    "optimised": ["-O", "-c", "import json, program; print('TOLD' + json.dumps(program.tell()))"],
    "without columns": ["-X", "no_debug_ranges", "program.py"],
    "pytest": ["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "tests/test_program.py"],
    "child of multiprocessing": ["child.py"],
}


@pytest.mark.parametrize("way", WAYS)
def test_one_key_and_a_hit(project: Project, first: dict[str, object], way: str) -> None:
    """However the tasks came to be there, they are the same tasks."""
    assert told(project, *WAYS[way]) == (first, [])


def test_script_by_its_path_from_elsewhere(project: Project, first: dict[str, object], tmp_path: Path) -> None:
    """The current directory is in no key."""
    assert told(project, str(project.root / "program.py"), cwd=tmp_path) == (first, [])


def test_only_bytecode_is_there(project: Project, first: dict[str, object], tmp_path: Path) -> None:
    """A .pyc whose source is gone counts by its bytecode: other keys, the same values, and the next such process hits."""
    compiled = "import compileall, sys; compileall.compile_dir('.', legacy=True, quiet=1, maxlevels=0)"
    for name in ("deep.py", "program.py"):
        (tmp_path / name).write_text((project.root / name).read_text())
    subprocess.run([sys.executable, "-c", compiled], cwd=tmp_path, check=True)
    for name in ("deep.py", "program.py"):
        (tmp_path / name).unlink()

    found, ran = told(project, *WAYS["import"], cwd=tmp_path)
    assert ran == ["ran clean", "ran train"]
    assert found["keys"] != first["keys"]
    assert (found["rate"], found["mode"]) == (first["rate"], first["mode"])
    assert told(project, *WAYS["import"], cwd=tmp_path) == (found, [])


def test_a_test_files_own_tasks(tmp_path: Path) -> None:
    """pytest rewrites their asserts: their keys are those of the file imported, and a worker's results are kept."""
    project = Project(tmp_path / "project").write("test_own.py", ASSERTING).write("pyproject.toml", "")
    pytest_ = ["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"]

    in_worker, ran = told(project, *pytest_, "test_own.py::test_submitted", runtime="local")
    assert (in_worker["values"], ran) == ([3, 3], ["ran own"])
    assert told(project, *pytest_, "test_own.py::test_called") == (in_worker, [])
    imported = "import json, test_own; print('TOLD' + json.dumps(test_own.tell()))"
    assert told(project, "-c", imported) == (in_worker, [])


@pytest.mark.parametrize("runtime", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_worker(project: Project, first: dict[str, object], runtime: str) -> None:
    """A worker that imports the tasks has the keys of whoever submits them, who hits."""
    assert told(project, "submitted.py", runtime=runtime) == (first, [])


def test_notebook(project: Project, first: dict[str, object], tmp_path: Path) -> None:
    """The same text in the cells of a kernel; a cell that is run again changes nothing."""
    for needed in ("nbclient", "ipykernel", "nbformat"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed, so there is no kernel to ask")
    cells = [cell for cell in PROGRAM.rsplit("\n\n\nif __name__", 1)[0].split("\n\n\n") if cell.strip()]
    cells += [cells[-1], cells[-2], 'print("TOLD" + json.dumps(tell()))']
    script = f"""
        import nbclient, nbformat
        cells = [nbformat.v4.new_code_cell(text) for text in {cells!r}]
        notebook = nbformat.v4.new_notebook(cells=cells)
        nbclient.NotebookClient(notebook, timeout=100, resources={{"metadata": {{"path": {str(project.root)!r}}}}}).execute()
        print("".join(output["text"] for cell in notebook.cells for output in cell["outputs"] if "text" in output))
        """
    path = tmp_path / "run_notebook.py"
    path.write_text(textwrap.dedent(script))

    assert told(project, str(path), cwd=tmp_path) == (first, [])
