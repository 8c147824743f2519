"""Environment variables that a body reads in other ways than by name: copies, loops, what a program of its inherits; and sets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from call_support import ran

import gpucache as gpc
from gpucache.flows.session import current_session


@pytest.fixture(autouse=True)
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_A", "1")
    gpc.init(runtime="inline", store=tmp_path / "store")
    yield
    gpc.shutdown()


@gpc.task
def by_items() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("SHOP_")}


@gpc.task
def by_names() -> list[str]:
    return sorted(os.environ[name] for name in os.environ if name.startswith("SHOP_"))


@gpc.task
def by_copy() -> str | None:
    return os.environ.copy().get("SHOP_B")


@gpc.task
def by_dict() -> str | None:
    return {**os.environ}.get("SHOP_B")


@gpc.task
def around() -> dict[str, str]:
    return by_items()


def test_what_a_task_within_goes_through_counts_for_the_one_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where both ran: the outer one's record knew of what the inner one looked up by name alone."""
    assert around() == {"SHOP_A": "1"}
    monkeypatch.setenv("SHOP_A", "2")
    assert ran(around) == ({"SHOP_A": "2"}, True)
    assert ran(around) == ({"SHOP_A": "2"}, False)


@pytest.mark.parametrize("task", [by_items, by_names, by_copy, by_dict])
def test_a_copy_of_the_environment_counts(task: gpc.Task[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever goes through all variables reads those that come later, too; a terminal's own say nothing."""
    before = task()
    monkeypatch.setenv("SSH_TTY", "/dev/pts/7")
    monkeypatch.setenv("SHLVL", "9")
    assert ran(task) == (before, False)
    monkeypatch.setenv("SHOP_B", "2")
    assert "variable SHOP_B unset -> set" in str(task.explain())
    assert task() != before
    monkeypatch.delenv("SHOP_B")
    assert ran(task) == (before, False)


def test_secrets_of_a_copy_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy has passwords in it that nobody asked for; they count, and stand in no text."""
    for number in "12":
        monkeypatch.setenv("SHOP_DATABASE", f"postgres://me:hunter{number}@host/shop")
        by_items()
        monkeypatch.setenv("SHOP_TOKEN", f"hunter{number}")
        by_items()

    store = current_session().store
    shown = [text for record in store.records("by_items", limit=9) for _, text in store.parts_of(record).values()]
    assert "<not shown>" in shown
    assert not [text for text in shown if "hunter" in text]


@gpc.task
def for_a_program() -> str:
    return subprocess.check_output([sys.executable, "-c", "print(1)"], env={**os.environ, "OWN": "x"}, text=True)


def test_a_copy_for_a_program_is_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment copied to start a program with is not read by the body."""
    for_a_program()
    monkeypatch.setenv("SHOP_B", "2")
    assert ran(for_a_program) == ("1\n", False)


@gpc.task
def by_shell() -> str:
    return subprocess.check_output('echo "$SHOP_A"', shell=True, text=True)


@gpc.task
def by_shell_of_its_own() -> str:
    return subprocess.check_output("echo ${SHOP_A}", shell=True, text=True, env={"SHOP_A": "mine", "PATH": os.defpath})


def test_variables_that_a_command_line_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """`$NAME` counts where the program inherits it, not where the body gives it."""
    assert (by_shell(), by_shell_of_its_own()) == ("1\n", "mine\n")
    monkeypatch.setenv("SHOP_A", "2")
    assert ran(by_shell) == ("2\n", True)
    assert ran(by_shell_of_its_own) == ("mine\n", False)


@gpc.task
def sets_first() -> str:
    os.environ["SHOP_SET"] = "own"
    return os.environ["SHOP_SET"]


@gpc.task
def looks_first() -> str:
    before = os.environ.get("SHOP_SET", "none")
    os.environ["SHOP_SET"] = "own"
    return before


def test_what_the_body_sets_itself_is_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that the body sets before it looks is its own doing; one that it looked at before counts."""
    monkeypatch.setenv("SHOP_SET", "x")
    assert (looks_first(), sets_first()) == ("x", "own")
    monkeypatch.setenv("SHOP_SET", "y")
    assert ran(sets_first) == ("own", False)
    assert ran(looks_first) == ("y", True)


COMMANDS: list[Callable[[str], object]] = [
    lambda name: os.system(f"exit $(cat {name})") >> 8,
    lambda name: os.system(f"exit `cat <{name}`") >> 8,
    lambda name: subprocess.run(["sh", "-c", f'exit "$(cat {name})"'], check=False).returncode,
]


@gpc.task
def of_command(which: int, name: str) -> object:
    return COMMANDS[which](name)


@pytest.mark.parametrize("which", range(len(COMMANDS)))
def test_files_between_the_signs_of_a_shell(which: int, tmp_path: Path) -> None:
    """A file counts wherever a shell's text names it."""
    (tmp_path / "code").write_text("3")
    assert of_command(which, "code") == 3
    (tmp_path / "code").write_text("4")
    assert ran(lambda: of_command(which, "code")) == (4, True)
