"""The list that must hold: files and environment variables that a task reads beside its arguments.

Before, after and back in real processes, on one store; the files lie in the project, which is copied to another place.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from edit_rows import Row, free, hold, load
from pipeline_support import REPOSITORY, Edit, Project, World

pytestmark = pytest.mark.slow


CHANGED: tuple[Edit, ...] = (("data.txt", "2", "3"),)
READ = "[float(line) for line in {}.split()]"
WAYS = {
    "open": "with open('data.txt') as file:\n    return [float(line) for line in file]",
    "read_text": "return " + READ.format("Path('data.txt').read_text()"),
    "absolute path": "return " + READ.format("(Path(__file__).parent / 'data.txt').read_text()"),
    "os.open": "fd = os.open('data.txt', os.O_RDONLY)\ntext = os.read(fd, 100).decode()\nos.close(fd)\nreturn "
    + READ.format("text"),
    "np.loadtxt": "return list(map(float, np.loadtxt('data.txt')))",
    "np.fromfile": "return list(map(float, np.fromfile('data.txt', sep=' ')))",
    "csv": "with open('data.txt', newline='') as file:\n    return [float(row[0]) for row in csv.reader(file)]",
    "a thread": (
        "found = []\n"
        "thread = threading.Thread(target=lambda: found.extend(Path('data.txt').read_text().split()))\n"
        "thread.start()\nthread.join()\nreturn [float(line) for line in found]"
    ),
    "a subprocess": "return "
    + READ.format("subprocess.run(['cat', './data.txt'], capture_output=True, text=True).stdout"),
    "a subprocess' program": (
        "Path('tool.py').write_text(\"print(open('data.txt').read())\")\nreturn "
        + READ.format("subprocess.run([sys.executable, 'tool.py'], capture_output=True, text=True).stdout")
    ),
    "read and written elsewhere": (
        "text = Path('data.txt').read_text()\nPath('copy.txt').write_text(text)\nreturn "
        + READ.format("Path('copy.txt').read_text()")
    ),
    "through a generator": "def lines():\n    yield from open('data.txt')\nreturn [float(line) for line in lines()]",
}
FILES = {
    way: Row(CHANGED, "load", ("file data.txt: its content changed (4 bytes)",), setup=load(body))
    for way, body in WAYS.items()
}
OTHERS = {
    "a file grows": Row(
        (("data.txt", "2\n", "2\n3\n"),), "load", ("file data.txt 4 bytes -> 6 bytes",), setup=load(WAYS["open"])
    ),
    "a file of another task": free(("other.txt", "", "x"), setup=load(WAYS["open"])),
    "a new name in a directory": Row(
        (("data/b.txt", "", "2\n"),),
        "load",
        ("file data 1 entries -> 2 entries",),
        setup=load("return [float(Path(name).read_text()) for name in sorted(glob.glob('data/*.txt'))]"),
    ),
    "a file in a listed directory": Row(
        (("data/a.txt", "1", "7"),),
        "load",
        ("file data/a.txt: its content changed",),
        setup=load("return [float(path.read_text()) for path in Path('data').iterdir()]"),
    ),
    "a file that was not there": Row(
        (("late.txt", "", "5\n"),),
        "load",
        ("file late.txt missing -> 2 bytes",),
        setup=load("try:\n    return [float(open('late.txt').read())]\nexcept FileNotFoundError:\n    return [0.0]"),
    ),
    "a file that a helper reads": Row(
        CHANGED,
        "clean",
        ("file data.txt",),
        setup=load(
            "return [1.0]",
            ("deep.py", "return x * FACTOR", "return x * FACTOR + len(open('data.txt').read().replace('2', ''))"),
        ),
    ),
    "a deeper directory": Row(
        (("data/sub/b.txt", "", "5\n"),),
        "load",
        ("file data",),
        setup=load("return [float(len(list(Path('data').rglob('*.txt'))))]"),
    ),
    "data of a package": Row(
        (("kit/d.txt", "2", "3"),),
        "load",
        ("file kit/d.txt",),
        setup=load(
            "import importlib.resources\nreturn [float(importlib.resources.files('kit').joinpath('d.txt').read_text())]",
            ("kit/__init__.py", "", "\n"),
            ("kit/d.txt", "", "2\n"),
        ),
    ),
    "read in an event loop": Row(
        CHANGED,
        "load",
        ("file data.txt",),
        setup=load(
            "import asyncio\nasync def read():\n    return await asyncio.to_thread(Path('data.txt').read_text)\n"
            "return [float(x) for x in asyncio.run(read()).split()]"
        ),
    ),
    "read in another directory": Row(
        (("data/a.txt", "1", "7"),),
        "load",
        ("file data/a.txt",),
        setup=load("os.chdir('data')\ntry:\n    return [float(open('a.txt').read())]\nfinally:\n    os.chdir('..')"),
    ),
    "read in a pool of threads": Row(
        CHANGED,
        "load",
        ("file data.txt",),
        setup=load(
            "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(2) as pool:\n"
            "    return [float(x) for x in list(pool.map(lambda f: Path(f).read_text(), ['data.txt']))[0].split()]"
        ),
    ),
    "a file read at import": Row(
        (("data.txt", "2", "3"),),
        "clean",
        ("constant deep.FACTOR",),
        setup=load(
            "return [1.0]",
            (
                "deep.py",
                "FACTOR = 3",
                "from pathlib import Path\nFACTOR = int(Path(__file__).with_name('data.txt').read_text()[2])",
            ),
        ),
    ),
    "a file in a helper's cache": Row(
        CHANGED,
        "load",
        ("file data.txt",),
        setup=load(
            "helpers.table()\nreturn [1.0]",
            (
                "helpers.py",
                "LIMIT = 10",
                "import functools\n@functools.cache\ndef table():\n    return open('data.txt').read()\nLIMIT = 10",
            ),
            ("helpers.py", "return scale(x) / 2", "return scale(x) + int(table()[2])"),
        ),
    ),
    "a path as an argument, read natively": Row(
        CHANGED,
        "load",
        ("file data.txt",),
        setup=load(
            "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.fopen.restype = ctypes.c_void_p\n"
            "libc.fgetc.argtypes = [ctypes.c_void_p]\nfile = libc.fopen(n.encode(), b'r')\n"
            "return [float(chr(libc.fgetc(file))) for _ in range(1)]",
        ),
        same=True,
        before={"n": "data.txt"},
        after={"n": "data.txt"},
    ),
}


NATIVELY = """
def first_byte(path):
    import ctypes
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    libc.fgetc.argtypes = libc.fclose.argtypes = [ctypes.c_void_p]
    file = libc.fopen(str(path).encode(), b"r")
    found = libc.fgetc(file)
    libc.fclose(file)
    return float(chr(found))

def write_natively(path, text):
    import ctypes
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    libc.fputs.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    libc.fclose.argtypes = [ctypes.c_void_p]
    file = libc.fopen(str(path).encode(), b"w")
    libc.fputs(text.encode(), file)
    libc.fclose(file)

LIMIT = 10"""
NATIVE: dict[str, str] = {
    "a literal": "return [helpers.first_byte('data.txt')]",
    "a literal in a directory": "return [helpers.first_byte('data/a.txt')]",
    "beside the module": "return [helpers.first_byte(Path(__file__).parent / 'data' / 'a.txt')]",
    "os.path.join": "return [helpers.first_byte(os.path.join('data', 'a.txt'))]",
    "below a constant": "return [helpers.first_byte(HERE / 'a.txt')]",
    "in a table of settings": "return [helpers.first_byte(SETTINGS['input']['path'])]",
    "a default": "def read(path=HERE / 'a.txt'):\n    return helpers.first_byte(path)\nreturn [read()]",
}


@pytest.mark.parametrize("name", NATIVE)
def test_22_file_read_by_native_code(world: World, name: str) -> None:
    """Nobody sees native code open a file; the text that names it is enough: Parquet, HDF5, safetensors."""
    constants = "HERE = Path(__file__).parent / 'data'\nSETTINGS = {'input': {'path': 'data/a.txt'}}\nDEFAULT = 4"
    setup = load(NATIVE[name], ("helpers.py", "LIMIT = 10", NATIVELY), ("pipeline.py", "DEFAULT = 4", constants))
    edits = (("data.txt", "1", "7"),) if "data.txt" in NATIVE[name] else (("data/a.txt", "1", "7"),)

    hold(world, Row(edits, "load", ("file data",), setup=setup))


def test_22_file_written_by_native_code(world: World) -> None:
    """What a body writes natively is found as it left it: nothing runs again, also when it was there before."""
    body = "helpers.write_natively('out.txt', '5')\nreturn [1.0]"
    project = world.project(*load(body, ("helpers.py", "LIMIT = 10", NATIVELY), ("out.txt", "", "old")))
    world.run(project)

    assert world.run(project).ran == []
    (project.root / "out.txt").write_text("spoilt")
    assert world.run(project).ran == ["load"]


@pytest.mark.parametrize("name", FILES)
def test_22_file_read_by_its_path(world: World, name: str) -> None:
    """Its content counts, however it is read; the plan names it; the old content finds the old record."""
    hold(world, FILES[name])


FREE = {
    "a subprocess' output that was there": "subprocess.run(['sh', '-c', 'date +%N > $0', 'out/a.txt'])\nreturn [1.0]",
    "a database that is made": "import sqlite3\nsqlite3.connect('new.db').execute('create table if not exists t(x)')\nreturn [1.0]",
    "a temporary file of a subprocess": (
        "import tempfile\nwith tempfile.TemporaryDirectory() as d:\n    subprocess.run(['sh', '-c', f'echo 4 > {d}/x'])\n"
        "    return [float(open(d + '/x').read())]"
    ),
    "a temporary file with a name": (
        "import tempfile\nwith tempfile.NamedTemporaryFile('w+') as f:\n    f.write('4')\n    f.flush()\n"
        "    return [float(open(f.name).read())]"
    ),
    "a log": "with open('run.log', 'a') as f:\n    f.write('x')\nreturn [1.0]",
    "a traceback": "import traceback\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    traceback.format_exc()\nreturn [1.0]",
    "the home directory": "return [float(os.path.expanduser('~/x') == '')]",
}


@pytest.mark.parametrize("name", FREE)
def test_22_what_a_body_makes_does_not_count(world: World, name: str) -> None:
    """The second process hits, whatever the first has left behind."""
    project = world.project(*load(FREE[name], ("out/a.txt", "", "x"), ("other.txt", "", "x")))
    first = world.run(project)
    assert first.states[0] == ("load", "ran"), first.raw

    assert world.run(project).ran == []


@pytest.mark.parametrize("name", OTHERS)
def test_22_files_and_directories(world: World, name: str) -> None:
    """What is read counts, through helpers, caches and imports; what is not read does not."""
    hold(world, OTHERS[name])


AROUND = {  # setup beside data.txt, the body, the edit
    "below a directory that is there already": (
        "os.makedirs('data', exist_ok=True)\nreturn [float(open('data/a.txt').read())]",
        ("data/a.txt", "1", "7"),
    ),
    "after it was added to": (
        "with open('data.txt', 'a') as f:\n    f.write('')\nreturn [float(x) for x in open('data.txt')]",
        ("data.txt", "2", "3"),
    ),
    "through a link that the body made": (
        (
            "import tempfile\nwith tempfile.TemporaryDirectory() as d:\n    os.symlink(os.path.abspath('data.txt'), d + '/x')\n"
            "    return [float(x) for x in open(d + '/x')]"
        ),
        ("data.txt", "2", "3"),
    ),
    "below a link to a directory": (
        (
            "import tempfile\nwith tempfile.TemporaryDirectory() as d:\n    os.symlink(os.path.abspath('data'), d + '/x')\n"
            "    return [float(open(d + '/x/a.txt').read())]"
        ),
        ("data/a.txt", "1", "7"),
    ),
    "its size among entries": (
        "return [float(sum(e.stat().st_size for e in os.scandir('data')))]",
        ("data/a.txt", "1", "17"),
    ),
    "a name in the middle of a pattern": (
        "return [float(len(glob.glob('*/a.txt')))]",
        ("data2/a.txt", "", "1"),
    ),
}


@pytest.mark.parametrize("name", AROUND)
def test_22_files_reached_in_a_roundabout_way(world: World, name: str) -> None:
    """What the body makes around a file, a directory or a link, does not hide what it did not make."""
    body, edit = AROUND[name]

    hold(world, Row((edit,), "load", ("file data",), setup=load(body, ("data2/b.txt", "", "1"))))


def test_22_touched_file(world: World) -> None:
    """Another time, another inode: the content is the same, so nothing runs."""
    project = world.project(*load(WAYS["open"]))
    world.run(project)
    data = project.root / "data.txt"

    os.utime(data, (1, 1))
    assert world.run(project).ran == []
    text = data.read_text()
    data.unlink()
    data.write_text(text)
    assert world.run(project).ran == []


def variables(project: Project, world: World, **env: str) -> list[str]:
    return world.run(project, env=env).ran


@pytest.mark.parametrize(
    "way",
    [
        "os.environ['MODE']",
        "os.environ.get('MODE', '')",
        "os.getenv('MODE', '')",
        "str('MODE' in os.environ and os.environ['MODE'])",
    ],
)
def test_22_variable(world: World, way: str) -> None:
    """A variable that is looked up counts by its value; another does not; the plan names it."""
    project = world.project(*load(f"return [float(len({way}))]"))
    world.run(project, env={"MODE": "a", "OTHER": "1"})

    assert variables(project, world, MODE="a", OTHER="2") == []
    after = world.run(project, env={"MODE": "bc"})
    assert after.roots == ["load"]
    assert after.why("load") == after.recorded("load") == ["variable MODE 'a' -> 'bc'"]
    assert variables(project, world, MODE="a") == []


def test_22_variable_that_was_not_set(world: World) -> None:
    """Looked up in vain is looked up."""
    project = world.project(*load("return [1.0 if os.environ.get('EXTRA_MODE') else 0.0]"))
    world.run(project)

    assert world.run(project, env={"EXTRA_MODE": "1"}).why("load") == ["variable EXTRA_MODE unset -> '1'"]


def test_22_secrets_are_not_shown(world: World) -> None:
    """The value of a variable that sounds like a secret counts, and stands in no text."""
    project = world.project(*load("return [float(len(os.environ['API_TOKEN']))]"))
    world.run(project, env={"API_TOKEN": "hunter2"})

    after = world.run(project, env={"API_TOKEN": "swordfish"})

    assert after.why("load") == ["variable API_TOKEN: its content changed (<not shown>)"]
    assert not any(b"swordfish" in path.read_bytes() for path in Path(world.store).rglob("*") if path.is_file())


def test_22_environment_for_a_subprocess(world: World) -> None:
    """Copying the whole environment for a subprocess is not reading each of its variables."""
    body = "env = {**os.environ, 'X': '1'}\nenv = os.environ.copy()\nsubprocess.run(['true'], env=env)\nreturn [1.0]"
    project = world.project(*load(body))
    world.run(project, env={"OTHER": "1"})

    assert variables(project, world, OTHER="2") == []


def test_22_own_files_do_not_count(world: World) -> None:
    """What a body makes and reads again is its own: temporary files, a file rewritten at each run."""
    body = (
        "import tempfile\nwith tempfile.TemporaryDirectory() as there:\n    path = Path(there, 'x')\n    path.write_text('1')\n"
        "    os.listdir(there)\n    Path('log.txt').write_text('a')\n"
        "    return [float(path.read_text()), len(Path('log.txt').read_text())]"
    )
    project = world.project(*load(body))
    world.run(project)
    (project.root / "log.txt").write_text("something else")

    assert world.run(project).ran == []


def test_22_file_changed_while_it_is_read(world: World) -> None:
    """A file that another changes while the body runs: the result is returned and not stored, so the next call runs."""
    body = (
        "text = Path('data.txt').read_text()\nif 'CHANGE' in os.environ:\n"
        "    subprocess.run(['sh', '-c', 'echo 9 > data.txt'])\nreturn [float(line) for line in text.split()]"
    )
    project = world.project(*load(body))
    first = world.run(project, env={"CHANGE": "1"})
    assert first.states[0] == ("load", "uncached")

    after = world.run(project, env={"CHANGE": "1"})

    assert "load" in after.ran
    assert after.value != first.value


def test_22_file_given_as_a_value(world: World) -> None:
    """gpc.File is content: the same bytes elsewhere are the same call; other bytes at the same path are not."""
    edits = (
        (
            "pipeline.py",
            "    return [float(i) for i in range(n + 1)]",
            "    return [float(x) for x in n.read_text().split()]",
        ),
        ("pipeline.py", "clean(load(n))", "clean(load(gpc.File(n)))"),
        ("one.txt", "", "1\n2\n"),
        ("two.txt", "", "1\n2\n"),
    )
    project = world.project(*edits)
    world.run(project, params={"n": "one.txt"})

    assert world.run(project, params={"n": "two.txt"}).ran == []
    (project.root / "one.txt").unlink()
    assert world.run(project, params={"n": "two.txt"}).ran == []
    (project.root / "two.txt").write_text("5\n")
    assert world.run(project, params={"n": "two.txt"}).roots == ["load"]


def test_22_what_a_nested_task_reads(world: World) -> None:
    """A task within a task: the outer one depends on what the inner one reads, also when the inner one hits."""
    edits = (
        *load("return inner(0)"),
        (
            "pipeline.py",
            "@gpc.task\ndef load",
            "@gpc.task\ndef inner(x):\n    return [float(line) for line in open('data.txt')]\n\n@gpc.task\ndef load",
        ),
    )
    project = world.project(*edits)
    world.run(project)
    assert world.run(project, params={"n": 9}).ran == ["load"]

    after = world.run(project.edited(*CHANGED), params={"n": 9})

    assert after.roots == ["load"]
    assert after.ran[:2] == ["load", "inner"]


def test_22_in_a_worker(world: World) -> None:
    """A body that runs in a worker process is watched there; whoever asks finds its record, and its edit."""
    project = Project.make(
        world.base,
        {
            "calls.py": """
                import gpucache as gpc
                @gpc.task
                def read(x):
                    return open("data.txt").read() + x
                """,
            "run.py": """
                import calls, gpucache as gpc
                if __name__ == "__main__":
                    future = calls.read.submit("!")
                    print(future.result().replace("\\n", ""), future.state.value, calls.read.explain("!").hit)
                    gpc.shutdown()
                """,
            "data.txt": "1",
        },
    )

    def run() -> str:
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "GPUCACHE_STORE": world.store,
            "GPUCACHE_RUNTIME": "local",
            "GPUCACHE_MAX_WORKERS": "1",
        }
        command = [sys.executable, "run.py"]
        return subprocess.run(
            command, cwd=project.root, env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert [run(), run()] == ["1! ran True\n", "1! hit True\n"]
    (project.root / "data.txt").write_text("2")
    assert [run(), run()] == ["2! ran True\n", "2! hit True\n"]
    (project.root / "data.txt").write_text("1")
    assert run() == "1! hit True\n"


RESIDENT = {
    "calls.py": """
        import gpucache as gpc
        @gpc.resident
        def weights(name="data.txt"):
            return int(open(name).read())
        @gpc.task
        def scaled(x, model=weights):
            return x * model
        @gpc.task
        def inside(x):
            return x + weights()
        """,
    "data.txt": "2",
}


def test_22_what_a_resident_is_made_of(world: World) -> None:
    """A loader's file counts for every call that uses what it loaded, the second in a process, too; a new file is loaded."""
    project = Project.make(world.base, RESIDENT)
    both = "import calls\nout['values'] = [calls.scaled(1), calls.scaled(10), calls.inside(1), calls.inside(10)]\n"
    asked = "import calls\nout['hits'] = [calls.scaled.explain(10).hit, calls.inside.explain(10).hit]\n"

    assert world.script(project, both)["values"] == [2, 20, 3, 12]
    assert world.script(project, asked)["hits"] == [True, True]
    (project.root / "data.txt").write_text("3")
    assert world.script(project, asked)["hits"] == [False, False]
    edit = "open('data.txt', 'w').write('4')\nout['after'] = [calls.scaled(10), calls.inside(10)]\n"
    told = world.script(project, both + edit)
    assert told["values"] == [3, 30, 4, 13]
    assert told["after"] == [40, 14]
    (project.root / "data.txt").write_text("2")
    assert world.script(project, asked)["hits"] == [True, True]


def test_22_bodies_side_by_side(world: World) -> None:
    """Two bodies at once in two threads: each record depends on what its own body read, and on nothing else."""
    project = Project.make(
        world.base,
        {
            "calls.py": """
                import gpucache as gpc
                @gpc.task
                def one(x):
                    gpc.calls_meet()
                    text = open("one.txt").read()
                    gpc.calls_meet()
                    return text
                @gpc.task
                def two(x):
                    gpc.calls_meet()
                    text = open("two.txt").read()
                    gpc.calls_meet()
                    return text
                """,
            "one.txt": "1",
            "two.txt": "1",
        },
    )
    run = """
        import threading, calls, gpucache as gpc
        meeting = threading.Barrier(2)
        gpc.calls_meet = lambda: meeting.wait(20)
        threads = [threading.Thread(target=task, args=(1,)) for task in (calls.one, calls.two)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        """
    asked = "import calls\nout['hits'] = [calls.one.explain(1).hit, calls.two.explain(1).hit]\n"

    world.script(project, run)
    assert world.script(project, asked)["hits"] == [True, True]
    (project.root / "two.txt").write_text("2")
    assert world.script(project, asked)["hits"] == [True, False]
    (project.root / "two.txt").write_text("1")
    (project.root / "one.txt").write_text("2")
    assert world.script(project, asked)["hits"] == [False, True]
