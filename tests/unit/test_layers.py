"""Each technology, the environment and the clock are reached from their homes alone, and imports point down."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "gpucache"

# Who may import what, and why there. A name not listed here may be imported anywhere.
HOMES = {
    "ray": {"workers/on_ray.py"},
    "pynvml": {"telemetry/from_nvml.py"},
    "lmdb": {"store/index.py", "store/environment.py", "store/transaction.py"},
    "blake3": {"store/hashing.py"},
    "click": {"cli/", "demo/"},
    "rich": {"cli/", "demo/"},
    "sklearn": {"demo/"},  # the demo is a user's program that we happen to ship
    "matplotlib": {"demo/", "cli/simulate_plot"},
    "sentence_transformers": {"demo/"},
    # Recognising a tensor never imports torch: a value can be one only if torch is in sys.modules already.
    "torch": {"digests/of_torch.py", "codec/tensor.py", "demo/"},
    "pandas": {"digests/of_pandas.py", "demo/"},
    "obstore": {"store/remote/bucket.py"},
    "cryptography": {"store/remote/signing.py"},
    "sqlite3": set(),
}

# Who may touch os.environ, and why.
ENVIRONMENT = {
    "memo/variables.py": "what variables that a body looked up are now",
    "memo/hearing.py": "to see which variables a body looks up",
    "memo/asking.py": "to tell whether a program is sought on the PATH",
    "config.py": "reads the settings, once",
    "flows/surroundings.py": "gives a warm worker the variables that the program has by now",
    "workers/local.py": "gives a worker process its environment",
    "workers/main.py": "is a worker process, and sets its own environment",
    "workers/on_ray.py": "gives Ray and its actors theirs",
}

# Who may read the wall clock (time.time, time_ns, datetime.now); durations, by monotonic clocks, are nobody's secret.
CLOCK = {
    "memo/watching.py": "which files were changed after a body began",
    "flows/demands.py": "what calls took is kept in the order in which they ended",
    "memo/execute.py": "when a record was made",
    "flows/accepting.py": "when an edit was accepted",
    "flows/definition.py": "when a run began and ended",
    "flows/history.py": "how old a run is",
    "flows/watcher.py": "when a call began",
    "ledger/ledger.py": "a run's id begins with its time",
    "store/upkeep.py": "how old a record or a stray file is",
    "runtime/pools.py": "when a pool's state was written, for people",
    "began.py": "when this process began",
    "memo/by_name.py": "whether a source file is younger than this process",
    "workers/watch.py": "whether a source file is younger than this process",
    "telemetry/from_nvml.py": "when a reading was taken",
}


def _modules() -> list[tuple[str, ast.Module]]:
    files = sorted(PACKAGE.rglob("*.py"))
    return [(path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text())) for path in files]


def _runs(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node that runs: not what stands under `if TYPE_CHECKING:`."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            children = list(node.orelse)
        todo.extend(children)


def _imported(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in _runs(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            found.update(str(arg.value).partition(".")[0] for arg in node.args if isinstance(arg, ast.Constant))
    return found


def _uses(tree: ast.Module, *names: str) -> bool:
    found = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return not found.isdisjoint(names)


@pytest.mark.parametrize("technology", sorted(HOMES))
def test_a_technology_is_imported_from_its_home_alone(technology: str) -> None:
    """Ray, NVML, LMDB, torch, ... can be replaced by changing one file; type checking does not count."""
    importers = {module for module, tree in _modules() if technology in _imported(tree)}

    assert {module for module in importers if not module.startswith(tuple(HOMES[technology]))} == set()


def test_only_config_reads_the_environment() -> None:
    """Settings are read once, in config.py; the others give a process of theirs its environment."""
    touching = {
        module for module, tree in _modules() if _uses(tree, "os.environ", "os.getenv", "os.putenv", "os.environb")
    }

    assert touching - set(ENVIRONMENT) == set()


def test_the_wall_clock_is_read_where_something_is_dated() -> None:
    """What decides anything gets its time as an argument, so that it can be replayed."""
    clocks = ("time.time", "time.time_ns", "datetime.now", "datetime.datetime.now", "datetime.utcnow")

    reading = {module for module, tree in _modules() if _uses(tree, *clocks)}

    assert reading - set(CLOCK) == set()


@pytest.mark.parametrize("package", ["digests", "placement"])
def test_pure_packages_know_no_process(package: str) -> None:
    """What a value is and where a task fits are decided without clocks, processes or sockets."""
    impure = {"subprocess", "multiprocessing", "socket", "random", "time", "logging"}
    # a workload is drawn from a seed that the caller gives: placement/openb.py has a generator of its own
    # weak references, files' identities and threads that share one digest are within the question
    used = {module: _imported(tree) & impure for module, tree in _modules() if module.startswith(f"{package}/")}

    assert {module: found for module, found in used.items() if found and module != "placement/openb.py"} == {}


def test_every_module_says_what_it_is() -> None:
    """From its file name and first line a newcomer knows whether to open it."""
    silent = [module for module, tree in _modules() if tree.body and not ast.get_docstring(tree)]

    assert silent == []


def test_files_stay_small() -> None:
    """No module is over 500 lines; one that grows answers too many questions."""
    long = {
        path.relative_to(PACKAGE).as_posix(): lines
        for path in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx")]
        if (lines := len(path.read_text().splitlines())) > 500
    }

    assert long == {}


@pytest.mark.slow
def test_importing_gpucache_imports_nothing_heavy() -> None:
    """`import gpucache` costs a process next to nothing: no ray, torch, pyarrow, numpy, pandas, click or rich."""
    heavy = ["ray", "torch", "pyarrow", "numpy", "pandas", "click", "rich", "lmdb", "msgspec", "asyncio"]
    script = f"import sys, gpucache; print(sorted(set({heavy!r}) & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_imports_point_down() -> None:
    """The layers of pyproject.toml hold."""
    tool = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if tool is None:
        pytest.skip("import-linter is not installed (extra [test])")

    done = subprocess.run([tool, "--no-cache"], capture_output=True, text=True, check=False, cwd=PACKAGE.parent)

    assert done.returncode == 0, done.stdout
