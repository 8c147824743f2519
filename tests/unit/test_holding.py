"""What a worker says it holds: only news, PyTorch asked seldom, and never in the way of an answer."""

from __future__ import annotations

import sys
import types
from contextvars import copy_context

import pytest

from gpucache.residence import Residents
from gpucache.workers import holding, messages
from gpucache.workers.holding import EVERY_S, Account
from gpucache.workers.loop import Worker
from gpucache.workers.messages import Answer, Call, Holding, Setup

GIB = 2**30


class Cuda(types.SimpleNamespace):
    """torch.cuda of a process that keeps so much on each device; counts how often it is asked."""

    kept: tuple[int, ...] = ()
    asked = 0
    initialised = True

    def is_initialized(self) -> bool:
        return self.initialised

    def device_count(self) -> int:
        return len(self.kept)

    def memory_reserved(self, index: int) -> int:
        self.asked += 1
        if self.kept[index] < 0:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return self.kept[index]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    """This process uses PyTorch with CUDA, as far as anyone can see."""
    torch = types.ModuleType("torch")
    torch.cuda = Cuda()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    return torch.cuda  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def residents(monkeypatch: pytest.MonkeyPatch) -> Residents:
    """The residents of this process."""
    monkeypatch.setattr(holding._Told, "residents", None)
    told = Residents()
    holding.tell_residents(told.held)
    return told


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_only_news_is_told(cuda: Cuda, residents: Residents) -> None:
    """Memory and residents when they change; nothing while they don't."""
    clock, cuda.kept = Clock(), (GIB, 2 * GIB)
    account = Account(2, clock)

    assert account.news() == Holding((), (GIB, 2 * GIB))
    clock.now += 1
    assert account.news() is None
    residents.get("key", "weights", object, 3 * GIB)
    assert account.news() == Holding((("weights", 3 * GIB),), (GIB, 2 * GIB))
    residents.drop("key")
    assert account.news() == Holding((), (GIB, 2 * GIB))


def test_pytorch_is_asked_seldom_unless_something_was_loaded(cuda: Cuda, residents: Residents) -> None:
    """A thousand short calls ask once; a resident that came with the last of them is measured with it."""
    clock, cuda.kept = Clock(), (GIB,)
    account = Account(1, clock)
    for _ in range(1000):
        account.news()
        clock.now += EVERY_S / 2000
    assert cuda.asked == 1

    cuda.kept = (5 * GIB,)
    assert account.news() is None
    residents.get("key", "weights", object)
    assert account.news() == Holding((("weights", None),), (5 * GIB,))


@pytest.mark.usefixtures("residents")
def test_without_cuda_there_is_nothing_to_tell(cuda: Cuda) -> None:
    """On a worker without GPUs, before CUDA is used, in a process whose context is broken, while it is imported."""
    cuda.kept = (GIB,)
    assert Account(0).news() is None
    cuda.initialised = False
    assert Account(1).news() is None
    cuda.initialised, cuda.kept = True, (-1,)
    assert Account(1).news() is None
    sys.modules["torch"].cuda = types.SimpleNamespace()  # type: ignore[attr-defined]
    assert Account(1).news() is None


@pytest.mark.usefixtures("residents")
def test_it_comes_with_the_answer(cuda: Cuda) -> None:
    """Also with one of a call that failed: what it left on the device is there all the same."""
    worker = Worker(settle=lambda _: None, take=lambda _: None, whole_process=False)
    here = copy_context()  # the thread that runs the tests is no worker afterwards
    here.run(worker.handle, Setup(1, "w1", "cuda:0", ("GPU-0",), "", (), ()), b"", lambda _: None)
    cuda.kept = (GIB,)

    told = here.run(worker.handle, Call(5), messages.dumps((abs, ("no number",), {})), lambda _: None)
    again = here.run(worker.handle, Call(6), messages.dumps((abs, (-1,), {})), lambda _: None)

    assert told is not None
    assert again is not None
    assert told[0] == Answer(5, ok=False, holding=Holding((), (GIB,)))
    assert again[0] == Answer(6, ok=True)
    assert messages.decode(messages.encode(told[0])) == told[0]
