"""`gpucache doctor`: whether everything that gpucache needs is there, and what to do about what is not."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from typing import NamedTuple

import click

from gpucache.cli.flows import session_options, start

GOOD, WORTH_KNOWING, BAD = "good", "note", "bad"
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "beegfs", "ceph", "fuse.sshfs", "9p", "afs", "gpfs"}


class Finding(NamedTuple):
    """One thing that was looked at: its name, how it is, and what was seen."""

    name: str
    verdict: str
    seen: str


@click.command()
@session_options
def command(store: str | None, runtime: str | None, *, as_json: bool) -> int:
    """Say whether everything that gpucache needs is there."""
    from gpucache.cli.main import FAILED, OK
    from gpucache.cli.output import write_json

    start(store, runtime)
    findings = [*_python(), *_store(), *_gpus(), *_runtime()]
    bad = [finding for finding in findings if finding.verdict == BAD]
    if as_json:
        write_json("doctor", findings=[finding._asdict() for finding in findings], healthy=not bad)
    else:
        marks = {
            GOOD: click.style("ok  ", fg="green"),
            WORTH_KNOWING: click.style("note", fg="yellow"),
            BAD: click.style("bad ", fg="red"),
        }
        for finding in findings:
            click.echo(f"{marks[finding.verdict]}  {finding.name:<12} {finding.seen}")
    return FAILED if bad else OK


def _python() -> Iterator[Finding]:
    yield Finding(
        "gpucache",
        GOOD,
        f"{sys.modules['gpucache'].__version__} on Python {platform.python_version()}, {platform.machine()}",
    )
    try:
        from gpucache.digests import tree_digest, tree_digest_reference

        same = tree_digest(bytes(100_000)) == tree_digest_reference(bytes(100_000))
        yield Finding(
            "digest",
            GOOD if same else BAD,
            "the kernel agrees with the reference" if same else "the kernel is wrong: rebuild",
        )
    except ImportError as problem:
        yield Finding("digest", BAD, f"the compiled extension is missing ({problem}): install gpucache again, with gcc")


def _store() -> Iterator[Finding]:
    from gpucache.cli.output import size
    from gpucache.errors import StoreUnusable
    from gpucache.flows import current_session

    path = current_session().config.store_path
    try:
        current_session().store.stats()
    except StoreUnusable as problem:
        yield Finding("store", BAD, str(problem))
        return
    yield Finding("store", GOOD, str(path))
    kind = _file_system(str(path))
    network = kind in NETWORK
    seen = f"{kind}: LMDB's locks don't work over a network; use a local disk" if network else kind
    yield Finding("file system", BAD if network else WORTH_KNOWING if kind in ("overlay", "unknown") else GOOD, seen)
    free = shutil.disk_usage(path).free
    yield Finding("room", GOOD if free > 2**30 else WORTH_KNOWING, f"{size(free)} free")
    mode = path.stat().st_mode & 0o777
    alone = not mode & 0o022 and path.stat().st_uid == os.getuid()
    yield Finding(
        "access",
        GOOD if alone else WORTH_KNOWING,
        f"mode {mode:o}" + ("" if alone else ": pickled values are refused (chmod 700)"),
    )


def _gpus() -> Iterator[Finding]:
    from gpucache.cli.output import size
    from gpucache.config import cuda_variables
    from gpucache.telemetry import CudaSettings, process_ids, read_fleet, resolve

    fleet = read_fleet()
    for gpu in fleet.gpus:
        free = "free memory unknown" if gpu.memory_free_bytes is None else f"{size(gpu.memory_free_bytes)} free"
        told = "; ".join((f"{gpu.name}, {gpu.uuid}, {free}", *gpu.troubles))
        yield Finding(f"GPU {gpu.index}", BAD if gpu.troubles else GOOD, told)
    if not fleet.gpus:
        yield Finding(
            "GPU", WORTH_KNOWING, f"none; everything runs on CPUs ({'; '.join(fleet.problems) or 'no driver'})"
        )
        return
    chosen = resolve(fleet, CudaSettings.from_env(cuda_variables()))
    for problem in (*fleet.problems, *chosen.problems):
        yield Finding("GPUs", WORTH_KNOWING, problem)
    if len(chosen.uuids) < len(fleet.devices):
        shown = f"{len(chosen.uuids)} of {len(fleet.devices)} are this process's, by CUDA_VISIBLE_DEVICES"
        yield Finding("visible GPUs", WORTH_KNOWING, shown)
    if fleet.pids_are_hosts:
        yield Finding("GPU processes", WORTH_KNOWING, process_ids.WHY)


def _runtime() -> Iterator[Finding]:
    import importlib.metadata

    for name, needed in (("ray", True), ("torch", False)):
        if importlib.util.find_spec(name) is None:
            yield Finding(name, BAD if needed else WORTH_KNOWING, "not installed")
        else:
            yield Finding(name, GOOD, importlib.metadata.version(name))


def _file_system(path: str) -> str:
    """The type of the file system that path lies on, from /proc/mounts: the longest mount point that leads to it wins."""
    best, kind = "", "unknown"
    try:
        with open("/proc/mounts", encoding="utf-8") as mounts:
            for line in mounts:
                _, point, name, *_ = line.split()
                inside = path == point or path.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best):
                    best, kind = point, name
    except OSError:
        return "unknown"
    return kind
