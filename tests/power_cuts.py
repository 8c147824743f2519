"""A power cut, honestly: what had reached a loop device's backing file when the power went, and nothing of the page cache.

The loop device writes with O_DIRECT, so its file is the disk. A writer is stopped at a random moment and the file is copied; a
copy during which the device wrote is thrown away and made again, as it would be of no one moment. The copy is mounted elsewhere,
which replays the journal, and a fresh process opens the store on it as after another boot. Not covered: writes that a disk's own
cache reorders, which would need a device mapper target.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

FILE_SYSTEMS = {"ext4": ("mkfs.ext4", "-q"), "xfs": ("mkfs.xfs", "-q")}
SIZE_BYTES = {"ext4": 48 * 2**20, "xfs": 320 * 2**20}  # xfs is made from 300 MiB on


@dataclass
class Told:
    """How many records were acknowledged before the cut, how many are there after it, and what is wrong."""

    acknowledged: int = 0
    found: int = 0
    problems: list[str] = field(default_factory=list)


def why_not(kind: str) -> str | None:
    """Why power can't be cut here; None if it can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    if shutil.which(FILE_SYSTEMS[kind][0]) is None or shutil.which("losetup") is None:
        return f"there is no {FILE_SYSTEMS[kind][0]}, or no losetup"
    found = subprocess.run(["losetup", "-f"], capture_output=True, check=False)
    return "there are no loop devices" if found.returncode else None


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[str]:
    """The image mounted there; gives its loop device."""
    at.mkdir()
    command = ["losetup", "--direct-io=on", "-f", "--show", str(image)]
    device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        subprocess.run(["mount", "-o", "nosuid,nodev", device, str(at)], check=True, capture_output=True)
        try:
            yield device
        finally:
            subprocess.run(["umount", str(at)], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


def cut(folder: Path, kind: str, durability: str, seed: int) -> Told:
    """Write until the power goes; open what is left."""
    image, copy = folder / "disk", folder / "disk-after"
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES[kind])
    subprocess.run([*FILE_SYSTEMS[kind], str(image)], check=True, capture_output=True)
    with mounted(image, folder / "before") as device:
        writer = _start("write", folder / "before" / "store", durability)
        assert writer.stdout is not None
        wanted = random.Random(seed).randrange(1, 40)
        said = [line for _, line in zip(range(wanted), writer.stdout, strict=False)]
        time.sleep(random.Random(seed + 1).random() * 0.02)  # the moment of the cut is anywhere within a write
        writer.send_signal(signal.SIGSTOP)
        _copy_of_one_moment(device, image, copy)
        writer.kill()
        said += writer.stdout.readlines()  # more than was said by the cut: nothing was said after the stop
        writer.wait()
        writer.stdout.close()
    acknowledged = [int(line) for line in said if line.strip().isdigit()]
    told = Told(len(acknowledged))
    if len(said) < wanted:
        told.problems.append(f"{kind} {durability} {seed}: the writer ended by itself: {said[-3:]}")
    with mounted(copy, folder / "after"):
        store = folder / "after" / "store"
        if durability != "durable" and not (store / "index").exists():
            return told
        reader = subprocess.run(
            _command("look", store, durability, *map(str, acknowledged)), capture_output=True, text=True, check=False
        )
    for line in reader.stdout.splitlines():
        if line == "found":
            told.found += 1
        elif line != "lost" or durability == "durable":
            told.problems.append(f"{kind} {durability} {seed}: {line}")
    if reader.returncode:
        told.problems.append(
            f"{kind} {durability} {seed}: the reader ended with {reader.returncode}: {reader.stderr[-300:]}"
        )
    return told


def _copy_of_one_moment(device: str, image: Path, copy: Path) -> None:
    for _ in range(20):
        before = _written(device)
        subprocess.run(["cp", "--sparse=always", str(image), str(copy)], check=True)
        if _written(device) == before:
            return
    raise AssertionError("the device never rested")


def _written(device: str) -> str:
    """The device's count of finished writes and of those under way."""
    fields = Path(f"/sys/block/{Path(device).name}/stat").read_text().split()
    return f"{fields[4]} {fields[8]}"


def _command(*arguments: object) -> list[str]:
    return [sys.executable, __file__, *map(str, arguments)]


def _start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(_command(*arguments), stdout=subprocess.PIPE, text=True)


def _write(path: Path, durability: str) -> None:
    from fault_operations import publish

    from gpucache.store import Store

    with Store(path, durability=durability) as store:  # type: ignore[arg-type]  # one of them
        for step in range(300):
            publish(store, step)
            print(step, flush=True)
        signal.pause()


def _look(path: Path, durability: str, steps: list[int]) -> None:
    """In another boot, as far as the store can tell."""
    from fault_operations import problem_of

    import gpucache.store.blobs as blobs
    import gpucache.store.index as index
    from gpucache.store import Store

    for module in (blobs, index):
        module.boot_id = lambda: "another boot"  # type: ignore[attr-defined]
    with Store(path, durability=durability) as store:  # type: ignore[arg-type]
        for step in steps:
            problem = problem_of(store, step, may_miss=False)
            print("found" if not problem else "lost" if "lost" in problem else f"WRONG {problem}", flush=True)
        if durability == "durable":
            for found in store.verify().problems:
                print(f"verify: {found}")


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    sys.path[:0] = [str(root), str(root / "tests")]
    if sys.argv[1] == "write":
        _write(Path(sys.argv[2]), sys.argv[3])
    else:
        _look(Path(sys.argv[2]), sys.argv[3], [int(step) for step in sys.argv[4:]])
