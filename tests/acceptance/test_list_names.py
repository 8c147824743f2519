"""The list that must hold: files, programs and code that a body, or its data, finds by a name.

Before, after and back in real processes, on one store.
"""

from __future__ import annotations

import importlib.util
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest
from edit_rows import Row, free, hold, load
from pipeline_support import Edit, World

pytestmark = pytest.mark.slow


TOOL = (
    ("tool.py", "", "from under import BASE\nprint(2.0 + BASE)\n"),
    ("under.py", "", "BASE = 1.0\n"),
    ("apart.py", "", "import tool\n"),
)
PRINTED = "return [float(subprocess.run({}, capture_output=True, text=True, check=True).stdout.split()[0])]"
COMMANDS: dict[str, tuple[str, Edit]] = {
    "a script": (PRINTED.format("[sys.executable, 'tool.py']"), ("tool.py", "2.0", "3.0")),
    "what a script imports": (PRINTED.format("[sys.executable, 'tool.py']"), ("under.py", "1.0", "3.0")),
    "a script by its whole path": (
        PRINTED.format("[sys.executable, str(Path(__file__).parent / 'tool.py')]"),
        ("under.py", "1.0", "3.0"),
    ),
    "a module": (PRINTED.format("[sys.executable, '-m', 'tool']"), ("tool.py", "2.0", "3.0")),
    "what a module imports": (PRINTED.format("[sys.executable, '-m', 'tool']"), ("under.py", "1.0", "3.0")),
    "a shell's words": (PRINTED.format("'cat data.txt | tail -n 1', shell=True"), ("data.txt", "2", "3")),
    "a shell's text among words": (PRINTED.format("['sh', '-c', 'tail -n 1 data.txt']"), ("data.txt", "2", "3")),
    "the value of an option": (
        PRINTED.format("['dd', 'if=data.txt', 'status=none']").replace("[0]", "[-1]"),
        ("data.txt", "2", "3"),
    ),
    "in another directory": (PRINTED.format("['cat', 'a.txt'], cwd='data'"), ("data/a.txt", "1", "7")),
    "a directory": (
        "return [float(len(subprocess.run(['ls', 'data'], capture_output=True, text=True).stdout.split()))]",
        ("data/b.txt", "", "1"),
    ),
    "os.system": (
        "os.system('tail -n 1 data.txt > made.txt')\nreturn [float(open('made.txt').read())]",
        ("data.txt", "2", "3"),
    ),
    "a pipe": ("return [float(os.popen('tail -n 1 data.txt').read())]", ("data.txt", "2", "3")),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_22_what_a_command_line_names(world: World, name: str) -> None:
    """Files that a program is given count, directories by their names, and Python of the project with all that it imports."""
    body, edit = COMMANDS[name]
    reason = f"{edit[0]}, or what it imports" if edit[0] == "tool.py" else ""
    reason = reason or {"under.py": "tool.py, or what it imports", "data/b.txt": "file data"}.get(
        edit[0], f"file {edit[0]}"
    )

    hold(world, Row((edit,), "load", (reason,), setup=load(body, *TOOL)))


def test_22_a_file_beside_those_that_a_command_line_names(world: World) -> None:
    """What the words do not name, and code that imports the program and not the other way round, is nothing to it."""
    body, _ = COMMANDS["a script"]

    hold(world, free(("apart.py", "import tool", "import tool, os"), ("other.txt", "", "x"), setup=load(body, *TOOL)))


FOUND = {  # the body, the edit, what the plan names
    "below an open directory": (
        (
            "there = os.open('data', os.O_RDONLY)\nfd = os.open('a.txt', os.O_RDONLY, dir_fd=there)\n"
            "text = os.read(fd, 100).decode()\nos.close(fd)\nos.close(there)\nreturn [float(text)]"
        ),
        ("data/a.txt", "1", "7"),
        "file data/a.txt",
    ),
    "a module that is sought": (
        "import importlib.util\nreturn [float(importlib.util.find_spec('late') is not None)]",
        ("late.py", "", "X = 1\n"),
        "file late.py missing -> a file",
    ),
    "lines of a file": (
        "import linecache\nreturn [float(linecache.getline('data.txt', 2))]",
        ("data.txt", "2", "3"),
        "file data.txt",
    ),
    "data of a module": (
        "import pkgutil\nreturn [float(pkgutil.get_data('kit', 'd.txt'))]",
        ("kit/d.txt", "2", "3"),
        "file kit/d.txt",
    ),
    "what a library looks for": (
        "return [float(np.lib.npyio.DataSource(None).exists('late.txt'))]",
        ("late.txt", "", "5\n"),
        "file late.txt missing -> a file",
    ),
    "a program in a directory": (
        ("import shutil\nfound = shutil.which('tool', os.F_OK, 'bin')\nreturn [float(found is not None)]"),
        ("bin/tool", "", "x"),
        "file bin/tool",
    ),
    "what a file that is executed imports": (
        (
            "import importlib.util\nspec = importlib.util.spec_from_file_location('plug', 'plug.py')\n"
            "plug = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(plug)\nreturn [plug.X]"
        ),
        ("under.py", "1.0", "3.0"),
        "under.py, or what it imports",
    ),
    "what is imported from a directory that the body adds": (
        "sys.path.insert(0, str(Path(__file__).parent / 'more'))\nimport extra\nreturn [extra.X]",
        ("more/extra.py", "1.0", "3.0"),
        "extra",
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_22_what_is_found_by_its_name(world: World, name: str) -> None:
    """A file, a module or a program that the body, or a library for it, finds by a name, or does not find."""
    body, edit, reason = FOUND[name]
    more: tuple[Edit, ...] = (
        *TOOL,
        ("kit/__init__.py", "", "\n"),
        ("kit/d.txt", "", "2\n"),
        ("plug.py", "", "import under\nX = under.BASE\n"),
        ("more/extra.py", "", "X = 1.0\n"),
        ("bin/other", "", "x"),
    )

    hold(world, Row((edit,), "load", (reason,), setup=load(body, *more)))


PICKLED = "import pickle\nreturn [float(pickle.load(open('named.pkl', 'rb'))(1))]"
CONFIGURED = (
    "from importlib.metadata import EntryPoint\n"
    "return [float(EntryPoint('x', open('named.txt').read(), 'y').load()(1))]"
)
NAMED_CODE = (
    (
        "named.py",
        "",
        "from under import BASE\n\ndef factor(x):\n    return x * 2.0 + BASE\n\ndef beside(x):\n    return x\n",
    ),
    ("under.py", "", "BASE = 1.0\n"),
    ("apart.py", "", "import named\nX = 1\n"),
    ("named.pkl", "", "cnamed\nfactor\n."),  # a pickle of protocol 0: the function by its name
    ("named.txt", "", "named:factor"),
)
NAMED_BY_DATA: dict[str, Row] = {
    f"{way}: {what}": row
    for way, body in {"a pickle": PICKLED, "a configuration": CONFIGURED}.items()
    for what, row in {
        "the function": Row(
            (("named.py", "x * 2.0", "x * 3.0"),),
            "load",
            ("named.py, or what it imports, changed",),
            load(body, *NAMED_CODE),
        ),
        "what its module imports": Row(
            (("under.py", "1.0", "5.0"),), "load", ("named.py, or what it imports, changed",), load(body, *NAMED_CODE)
        ),
        "what imports its module": free(("apart.py", "X = 1", "X = 2"), setup=load(body, *NAMED_CODE)),
        "a comment": free(("named.py", "def beside", "# Beside.\ndef beside"), setup=load(body, *NAMED_CODE)),
    }.items()
}
NAMED_BY_DATA["a pickle of what the code has, too: another function"] = free(
    ("named.py", "    return x\n", "    return x + 1\n"),
    setup=load("import named\n" + PICKLED.replace("return [", "return [named.factor(0) * 0 + "), *NAMED_CODE),
)


@pytest.mark.parametrize("name", NAMED_BY_DATA)
def test_22_code_that_data_names(world: World, name: str) -> None:
    """A class or function that a pickle or a configuration names counts with its module, and all that this imports."""
    hold(world, NAMED_BY_DATA[name])


STALE = """
import pathlib, pickle, sys
import named
import gpucache as gpc

@gpc.task
def predict(x: float) -> float:
    return pickle.loads(b"cnamed\\nfactor\\n.")(x)

if sys.argv[1:] == ["edit"]:
    file = pathlib.Path(named.__file__)
    file.write_text(file.read_text().replace("2.0", "3.0"))
print(predict(1.0))
"""


def test_22_code_that_was_edited_after_its_import_says_nothing(tmp_path: Path) -> None:
    """A process that runs old code beside a new text leaves no answer behind under the new text."""
    (tmp_path / "named.py").write_text("def factor(x):\n    return x * 2.0\n")
    (tmp_path / "program.py").write_text(STALE)

    assert run_stale(tmp_path, "-B", "program.py", "edit") == "2.0\n"
    assert run_stale(tmp_path, "-B", "program.py") == "3.0\n"
    assert run_stale(tmp_path, "-B", "program.py") == "3.0\n"


def test_22_bytecode_of_before_an_edit_in_the_same_second_says_nothing(tmp_path: Path) -> None:
    """Where Python itself runs old bytecode beside a new text of the same second and size, that answer is not kept."""
    named = tmp_path / "named.py"
    named.write_text("def factor(x):\n    return x * 2.0\n")
    (tmp_path / "program.py").write_text(STALE)
    second = int(named.stat().st_mtime) - 100
    os.utime(named, (second, second))
    py_compile.compile(str(named))
    os.utime(importlib.util.cache_from_source(str(named)), (second + 0.4, second + 0.4))
    named.write_text(named.read_text().replace("2.0", "3.0"))
    os.utime(named, (second + 0.8, second + 0.8))

    assert run_stale(tmp_path, "program.py") == "2.0\n"  # what Python has made of it
    os.utime(named, (second + 2, second + 2))
    assert run_stale(tmp_path, "program.py") == "3.0\n"


def run_stale(folder: Path, *arguments: str) -> str:
    """What the program prints, run in a process of its own."""
    environment = {**os.environ, "GPUCACHE_STORE": str(folder / "store"), "GPUCACHE_RUNTIME": "inline"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    program = [sys.executable, "-W", "ignore", *arguments]
    return subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
