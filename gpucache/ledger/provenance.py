"""Where a run's code came from and what it ran on, as text: what a person asks for six months later."""

from __future__ import annotations

import platform
import socket
import subprocess
from pathlib import Path

GIT_TIMEOUT_S = 2.0


def code_facts(file: str | None, module: str, flow: str) -> dict[str, str]:
    """File, module, flow, and the commit if the file lies in a git work tree. Costs two `git` processes there."""
    facts = {"module": module, "flow": flow}
    if file is None:
        return facts
    facts["file"] = file
    folder = Path(file).parent
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return facts
    commit = _git(folder, "rev-parse", "HEAD")
    if commit:
        facts["commit"] = commit
        known = _git(folder, "ls-files", "--error-unmatch", file) is not None
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
        facts["modified"] = "the file is not in the commit" if not known else "yes" if changed else "no"
    return facts


def machine_facts() -> dict[str, str]:
    """Python, platform and host."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "host": socket.gethostname(),
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # found on the path, as by its user
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
