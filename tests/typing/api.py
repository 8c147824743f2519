"""What type checkers see of the public surface; mypy and pyright read this file, nothing runs it.

Each assert_type is a promise to users. Each `type: ignore` that names an error is one as well: both checkers complain
of an ignore that ignores nothing, so the wrong call above it must stay wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import gpucache as gpc


class Encoder:
    """Stands for a model."""


@gpc.task
def plain(count: int, *, name: str = "x") -> list[str]:
    return [name] * count


@gpc.task(
    gpus=0.5,
    gpu_memory="6GiB",
    cpus=1,
    memory="2GiB",
    env=gpc.Env(pip=["numpy"], env_vars={"A": "b"}),
    cache=True,
    version="2",
    ignore=("verbose",),
    follow="project",
    numerics="any",
    retries=0,
    timeout=None,
    workers=1,
    validate=None,
    name="embedding",
)
def embed(texts: list[str], verbose: bool = False) -> dict[str, float]:
    return dict.fromkeys(texts, float(verbose))


@gpc.task
async def fetch(url: str) -> bytes:
    return url.encode()


@gpc.task(retries=3)
async def fetch_again(url: str) -> bytes:
    return url.encode()


@gpc.flow
def pipeline(path: Path, rate: float = 1e-3) -> float:
    return len(plain(3, name=str(path))) * rate


@gpc.resident(gpu_memory="90MiB")
def minilm(name: str = "small", *, device: str) -> Encoder:
    return Encoder()


def a_call_keeps_the_users_signature() -> None:
    assert_type(plain(3, name="y"), list[str])
    assert_type(embed(["a"], verbose=True), dict[str, float])
    plain("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    plain(3, nam="y")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def a_future_knows_its_value() -> None:
    assert_type(plain.submit(3), gpc.Future[list[str]])
    assert_type(plain.submit(3).result(timeout=1.0), list[str])
    assert_type(plain.map([1, 2]), list[gpc.Future[list[str]]])
    assert_type(embed.with_(gpus=1, force=True)(["a"]), dict[str, float])
    plain.submit(3, name=4)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_call_can_be_asked_about() -> None:
    assert_type(plain.key(3), gpc.Key)
    assert_type(plain.cached(3), gpc.Cached[list[str]] | None)
    assert_type(plain.explain(3), gpc.Explanation)
    assert_type(plain.fn(3), object)  # type: ignore[assert-type]  # pyright: ignore[reportAssertTypeFailure]  # it is Any


async def an_async_task_is_awaited() -> None:
    assert_type(await fetch("x"), bytes)
    assert_type(await fetch_again("x"), bytes)
    assert_type(fetch.submit("x"), gpc.Future[bytes])
    assert_type(await fetch.submit("x"), bytes)
    await fetch(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_flow_gives_its_value_or_a_run() -> None:
    assert_type(pipeline(Path("a")), float)
    assert_type(pipeline.run(Path("a"), rate=0.1), gpc.Run[float])
    assert_type(pipeline.run(Path("a")).result(), float)
    assert_type(pipeline.plan(Path("a")), gpc.Plan)
    pipeline("a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_resident_is_called_without_its_device() -> None:
    assert_type(minilm(), Encoder)
    assert_type(minilm("large"), Encoder)


def a_store_stands_alone() -> None:
    with gpc.Store("store") as store:
        assert_type(store.put([1]), gpc.Digest)
        assert_type(store.contains(store.put([1])), bool)
    assert_type(gpc.digest([1]), gpc.Digest)


def files_are_values(file: gpc.File, folder: gpc.Dir) -> None:
    assert_type(file.read_bytes(), bytes)
    Path(folder)
