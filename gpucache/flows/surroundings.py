"""What a body finds around it beside its arguments: the environment's variables and the current directory.

A warm worker has those of the moment it was started. A program may have changed its own since, and asks for the answer that
belongs to what is now; so each call brings what has changed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

OF_THE_WORKER = frozenset({"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"})
"""Variables that are the worker's own, whatever the program has."""


class Surroundings(NamedTuple):
    """The variables that are not what they were when the workers' environment was taken (None: gone), and the directory."""

    variables: dict[str, str | None]
    directory: str


class _Seen:
    """The environment when it was looked at last: as os.environ holds it, and as it is read. One for the process."""

    last: tuple[dict[bytes, bytes] | None, Mapping[str, str]] = None, {}


def variables() -> Mapping[str, str]:
    """This process's environment, as it is now; the same object as last time if nothing has changed.

    Decoding every name and value costs 25 µs, each call of a task asks for it, and it hardly ever changes.
    """
    encoded = getattr(os.environ, "_data", None)  # CPython's own dictionary; without it, all are decoded each time
    before, known = _Seen.last
    if encoded is not None and encoded == before:
        return known
    _Seen.last = _, now = (None if encoded is None else dict(encoded)), dict(os.environ)
    return now


def surroundings(before: Mapping[str, str], kept: Mapping[str, str]) -> Surroundings:
    """What this process has around it now.

    Args:
        before: The environment that the workers were started with.
        kept: Variables that a task's environment sets: they stay.
    """
    now = variables()
    if now is before:
        return Surroundings({}, os.getcwd())
    names = (before.keys() | now.keys()) - OF_THE_WORKER - kept.keys()
    changed = {name: now.get(name) for name in names if now.get(name) != before.get(name)}
    return Surroundings(changed, os.getcwd())


class _Assumed:
    """What the last call brought: variable -> what it was in this worker before."""

    before: dict[str, str | None] = {}  # noqa: RUF012  # one for the process, as os.environ is


def assume(around: Surroundings) -> None:
    """Give this worker what the program has. One call at a time runs in a worker."""
    for name, value in _Assumed.before.items():
        _set(name, value)
    _Assumed.before = {name: os.environ.get(name) for name in around.variables}
    for name, value in around.variables.items():
        _set(name, value)
    with suppress(OSError):  # another machine of the cluster need not have it
        if os.getcwd() != around.directory:
            os.chdir(around.directory)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
