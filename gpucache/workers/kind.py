"""What makes two workers interchangeable: the nouns that the engine, the pool and the workers share.

A call may run on any worker of its Kind. What only limits how many calls run at a time (CPUs, host memory) is no part
of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NewType

WorkerId = NewType("WorkerId", int)
CallId = NewType("CallId", int)


@dataclass(frozen=True, slots=True, init=False)
class Env:
    """The environment a task wants around it; each one has warm workers of its own. Hashable.

    Attributes:
        pip: Requirements to install, as pip reads them. Ray only: it builds the environment (extra `[env]`: virtualenv). What
            their versions are is known by this list alone: name versions.
        env_vars: Environment variables, set before anything of the user's is imported. Pairs, sorted by name.
        image: A container image. Ray only.
    """

    pip: tuple[str, ...]
    env_vars: tuple[tuple[str, str], ...]
    image: str | None

    def __init__(
        self, *, pip: Sequence[str] = (), env_vars: Mapping[str, str] | None = None, image: str | None = None
    ) -> None:
        if isinstance(pip, str):
            raise TypeError(f"Env(pip={pip!r}): pip is a list of requirements, [{pip!r}]")
        object.__setattr__(self, "pip", tuple(pip))
        object.__setattr__(self, "env_vars", tuple(sorted((str(k), str(v)) for k, v in dict(env_vars or {}).items())))
        object.__setattr__(self, "image", image)

    def __reduce__(self) -> tuple[object, ...]:
        return _env, (self.pip, self.env_vars, self.image)


def _env(pip: tuple[str, ...], env_vars: tuple[tuple[str, str], ...], image: str | None) -> Env:
    return Env(pip=pip, env_vars=dict(env_vars), image=image)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a worker must be like to run a call.

    Attributes:
        env: The environment, None for the driver's own.
        gpus: Share of one GPU, or a whole number of them; the worker holds them as long as it lives.
        gpu_memory_bytes: Device memory per GPU that it reserves; None with gpus: what its share amounts to.
        generation: Which state of the user's code it was started with: a module that was reloaded makes a new one.
    """

    env: Env | None = None
    gpus: float = 0
    gpu_memory_bytes: int | None = None
    generation: int = 0
