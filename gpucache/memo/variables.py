"""Which environment variables count for a result: what a body looks up, less what says where and how it runs.

The project's own code counts for whatever it names. Libraries look up how to run, and a copy of the whole environment has
the terminal's variables in it, which differ from window to window.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

ALL = "*"
"""The name under which the list of all variables is an input: one that is new is told by it."""

_HOW_TO_RUN = (
    *("GPUCACHE_", "PYTHON", "LC_", "OMP_", "MKL_", "OPENBLAS_", "KMP_", "GOTO_", "NUMEXPR_", "CUDA_", "NVIDIA_"),
    *("NCCL_", "RAY_", "TORCH", "PYTORCH_", "TRITON_", "NPY_", "NUMPY_", "ARROW_", "POLARS_", "LD_", "XDG_", "DISPLAY"),
    "MPL",
)
_WHERE_TO_RUN = frozenset(
    [
        *("PATH", "LANG", "LANGUAGE", "TERM", "COLUMNS", "LINES", "TMPDIR", "TEMP", "TMP", "NO_COLOR", "FORCE_COLOR"),
        *("PWD", "SHELL", "USER", "LOGNAME", "TZ"),
    ]
)
_OF_A_SESSION = (
    *(
        "SSH_",
        "TERM",
        "TMUX",
        "VSCODE_",
        "CONDA",
        "VIRTUAL_ENV",
        "DBUS_",
        "GPG_",
        "SLURM_",
        "JPY_",
        "JUPYTER",
        "PYTEST_",
    ),
    *("INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_", "KUBERNETES_", "GITHUB_", "CI_", "WAYLAND_", "WT_", "ITERM_"),
)
_OF_A_SHELL = frozenset(
    [
        *(
            "_",
            "OLDPWD",
            "SHLVL",
            "HOME",
            "HOSTNAME",
            "MAIL",
            "STY",
            "WINDOW",
            "WINDOWID",
            "PS1",
            "PS2",
            "PROMPT_COMMAND",
        ),
        *("LS_COLORS", "LESSOPEN", "LESSCLOSE", "LESS", "PAGER", "EDITOR", "VISUAL", "COLORTERM", "DEBIAN_FRONTEND"),
    ]
)


def says_how_to_run(name: str) -> bool:
    """Whether a library may look this variable up without the result depending on it."""
    return name in _WHERE_TO_RUN or name.startswith(_HOW_TO_RUN)


def counts_in_a_copy(name: str) -> bool:
    """Whether this variable counts where the whole environment is read, and nobody says which of it matters."""
    return not (says_how_to_run(name) or name in _OF_A_SHELL or name.startswith(_OF_A_SESSION))


def value_of(name: str) -> str | None:
    """A variable's value, read unseen by the watch; None if it is not set."""
    value = os.environ._data.get(os.environ.encodekey(name))  # type: ignore[attr-defined]  # noqa: SLF001  # as said
    return None if value is None else os.environ.decodevalue(value)


def names_now() -> list[str]:
    """The variables that are set and that count in a copy, sorted."""
    names = (os.environ.decodekey(key) for key in list(os.environ._data))  # type: ignore[attr-defined]  # noqa: SLF001  # as above
    return sorted(filter(counts_in_a_copy, names))


def inherited(names: Iterable[str], given: object) -> list[str]:
    """Of these variables, those that a program gets from this process's environment, and not from the one it is given."""
    if not isinstance(given, dict):
        return list(names)
    return [name for name in names if name in given and given[name] == value_of(name)]
