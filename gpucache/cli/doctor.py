"""`gpucache doctor`: whether everything that gpucache needs is there, and what to do about what is not.

Changes nothing: a store that is not there yet is not made. Neither ray nor torch is imported unless --torch asks for it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from gpucache.cli.flows import session_options, start

GOOD, NOTE, BAD = "good", "note", "bad"
LEAST_ROOM_BYTES = 2**30
NETWORK = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"),
        *("fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs"),
    }
)
"""Types in /proc/mounts on which LMDB's locks and memory map are not the same for every process (LMDB's caveats)."""


PSEUDO = frozenset(("cgroup", "cgroup2", "debugfs", "devpts", "proc", "securityfs", "sysfs", "tracefs"))
"""Types in /proc/mounts that show the kernel's state."""

TORCH_S = 120.0
"""How long `import torch` and a look at its devices may take: a cold disk needs tens of seconds."""

ASK_TORCH = """
import json, torch
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
print(json.dumps([torch.version.cuda, *names]))
"""


class Finding(NamedTuple):
    """One thing that was looked at: its name, how it is, and what was seen."""

    name: str
    verdict: str
    seen: str


@click.command()
@click.option(
    "--torch", "with_torch", is_flag=True, help="Import torch, which takes seconds, and say whether it sees the GPUs."
)
@session_options
def command(with_torch: bool, store: str | None, runtime: str | None, as_json: bool) -> int:
    """Say whether everything that gpucache needs is there. Changes nothing. Exit status 1 if something is bad."""
    from gpucache.cli.ending import FAILED, OK
    from gpucache.cli.output import escaped, styled, write_json, write_table

    findings = [*_python(), *_extensions()]
    if not any(finding.verdict == BAD for finding in findings):  # without the extensions nothing below can be imported
        start(store, runtime)
        findings += [*_store(), *_remote(), *_gpus()]
    findings += [*_distributions(), *(_torch() if with_torch else ())]
    healthy = all(finding.verdict != BAD for finding in findings)
    if as_json:
        write_json("doctor", findings=[finding._asdict() for finding in findings], healthy=healthy)
    else:
        write_table(("", "what", "seen"), [(styled(f.verdict), escaped(f.name), escaped(f.seen)) for f in findings])
    return OK if healthy else FAILED


def _python() -> Iterator[Finding]:
    import gpucache

    wanted = sys.version_info >= (3, 11)
    seen = f"{platform.python_version()} ({platform.python_implementation()}), {platform.system()} {platform.machine()}"
    yield Finding("gpucache", GOOD, gpucache.__version__)
    yield Finding("Python", GOOD if wanted else BAD, seen if wanted else f"{seen}; 3.11 or newer is needed")
    if not sys.platform.startswith("linux"):
        yield Finding("system", BAD, f"{platform.system()}; gpucache runs on Linux alone")


def _extensions() -> Iterator[Finding]:
    """Each compiled module has a stub beside it, so the stubs are the list of what must be there."""
    package = Path(__file__).parents[1]
    names = sorted(
        ".".join(stub.relative_to(package.parent).with_suffix("").parts) for stub in package.glob("*/_*.pyi")
    )
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as problem:
            yield Finding("compiled", BAD, f"{name}: {problem}; install gpucache again, on a machine with gcc")
            return
    yield Finding("compiled", GOOD, ", ".join(name.removeprefix("gpucache.") for name in names))
    from gpucache.digests import tree_digest
    from gpucache.digests.tree import tree_digest_reference

    data = bytes(range(256)) * 1024  # 256 KiB: several leaves
    same = tree_digest(data) == tree_digest_reference(data)
    yield Finding(
        "digest", GOOD if same else BAD, "as the reference says" if same else "differs from the reference: build again"
    )


def _store() -> Iterator[Finding]:
    from gpucache.errors import StoreUnusable
    from gpucache.flows import current_session

    session = current_session()
    path = session.config.store_path
    if not path.exists():
        yield from _store_to_be(path)
        return
    try:
        stats = session.store.stats()
    except StoreUnusable as problem:
        yield Finding("store", BAD, str(problem))
        return
    yield Finding("store", GOOD, f"{path}: {stats.records:,} records, {stats.blobs:,} blobs")
    status = path.stat()
    alone = not status.st_mode & 0o022 and status.st_uid == os.getuid()
    hint = "" if alone else "; others can write to it, so pickled values are refused: chmod 700"
    yield Finding("access", GOOD if alone else NOTE, f"mode {status.st_mode & 0o777:o}{hint}")
    yield from _place(path)


def _remote() -> Iterator[Finding]:
    """Whether it answers, and whose results are believed. Nothing is written there."""
    from gpucache.errors import BadSetting, ExtraMissing, RemoteUnreachable
    from gpucache.flows import current_session
    from gpucache.flows.session import remote_settings
    from gpucache.store.remote import probe

    config = current_session().config
    if not config.remote:
        return
    try:
        took_ms = probe(remote_settings(config)) * 1000
        yield Finding("remote", GOOD, f"{config.remote} answers in {took_ms:.0f} ms")
    except (BadSetting, ExtraMissing) as problem:
        yield Finding("remote", BAD, str(problem))
        return
    except RemoteUnreachable as problem:
        yield Finding("remote", BAD, f"{config.remote}: {problem.why}; runs go on without it")
    trusted = len(config.remote_trusted_keys.replace(",", " ").split())
    believed = f"what {trusted} keys sign" if trusted else "everybody's results, but for what needs unpickling"
    sent = "nothing is sent" if config.remote_read_only else "signed" if config.remote_signing_key else "sent unsigned"
    yield Finding("trust", GOOD if trusted else NOTE, f"believes {believed}; {sent}")


def _store_to_be(path: Path) -> Iterator[Finding]:
    place = next(parent for parent in path.parents if parent.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        yield Finding(
            "store", BAD, f"{path} is not there and can't be made: {place} can't be written; set GPUCACHE_STORE"
        )
        return
    yield Finding("store", GOOD, f"{path}; it is made when it is needed")
    yield from _place(place)


def _place(path: Path) -> Iterator[Finding]:
    from gpucache.cli.output import size

    kind, free = file_system(path.resolve()), shutil.disk_usage(path).free
    if kind in PSEUDO:
        yield Finding("file system", BAD, f"{kind}: no file can be kept there; set GPUCACHE_STORE")
        return
    if kind in NETWORK:
        yield Finding("file system", BAD, f"{kind}: the index (LMDB) does not work over a network; use a local disk")
    elif kind in ("tmpfs", "ramfs"):
        yield Finding("file system", NOTE, f"{kind}: gone when the machine restarts")
    else:
        yield Finding("file system", GOOD, kind)
    hint = "" if free >= LEAST_ROOM_BYTES else "; free some with `gpucache gc --apply`"
    yield Finding("room", NOTE if hint else GOOD, f"{size(free)} free{hint}")


def file_system(path: Path, mounts: str = "/proc/mounts") -> str:
    """The type of the file system that an absolute path lies on: the longest mount point that leads to it, the last if equal."""
    best, kind = "", "unknown"
    try:
        lines = Path(mounts).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return kind
    for line in lines:
        _, point, name, *_ = line.split(" ")
        point = point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")  # proc(5)
        inside = path.is_relative_to(point)
        if inside and len(point) >= len(best):
            best, kind = point, name
    return kind


def _gpus() -> Iterator[Finding]:
    from gpucache.cli.output import size
    from gpucache.config import cuda_variables
    from gpucache.telemetry import CudaSettings, process_ids, read_fleet, resolve
    from gpucache.telemetry.rows import remarks_of

    fleet = read_fleet()
    for gpu in fleet.gpus:
        free = "free memory unknown" if gpu.memory_free_bytes is None else f"{size(gpu.memory_free_bytes)} free"
        cut = (f"MIG instances: {len(gpu.mig or ())}",) if gpu.mig_is_on else ()
        remarks = remarks_of(gpu)
        told = "; ".join((f"{gpu.name}, {gpu.uuid}, {free}", *cut, *remarks))
        yield Finding(f"GPU {gpu.index}", BAD if gpu.troubles else NOTE if remarks else GOOD, told)
    if not fleet.gpus:
        yield Finding("GPU", NOTE, f"none; everything runs on CPUs ({'; '.join(fleet.problems) or 'no driver'})")
        return
    chosen = resolve(fleet, CudaSettings.from_env(cuda_variables()))
    for problem in (*fleet.problems, *chosen.problems):
        yield Finding("GPUs", NOTE, problem)
    if len(chosen.uuids) < len(fleet.devices):
        shown = f"{len(chosen.uuids)} of {len(fleet.devices)} are this process's, by CUDA_VISIBLE_DEVICES"
        yield Finding("visible GPUs", NOTE, shown)
    if fleet.pids_are_hosts:
        yield Finding("GPU processes", NOTE, process_ids.why_not_ours())


def _distributions() -> Iterator[Finding]:
    """What is installed, without importing it: ray and torch take seconds."""
    for name, needed in (("ray", True), ("lmdb", True), ("pyarrow", True), ("torch", False)):
        try:
            yield Finding(name, GOOD, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, BAD if needed else NOTE, "not installed")


def _torch() -> Iterator[Finding]:
    """Asked in a process of its own: a broken CUDA may take its process with it."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", ASK_TORCH], capture_output=True, text=True, check=False, timeout=TORCH_S
        )
    except subprocess.TimeoutExpired:
        yield Finding("CUDA", BAD, f"torch did not answer within {TORCH_S:.0f} s")
        return
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
        yield Finding("CUDA", NOTE if "ModuleNotFoundError" in why else BAD, f"torch can't be imported: {why}")
        return
    built, *devices = json.loads(done.stdout)
    seen = f"torch sees {', '.join(devices)}" if devices else "torch sees no GPU"
    yield Finding(
        "CUDA", GOOD if devices else NOTE, f"{seen} (built {f'for CUDA {built}' if built else 'without CUDA'})"
    )
