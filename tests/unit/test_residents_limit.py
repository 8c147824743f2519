"""Which resident is dropped when the declared memory is short."""

from __future__ import annotations

import threading

import pytest

from gpucache.config import Config
from gpucache.errors import BadSetting
from gpucache.residence import Residents


class Loads:
    """Loaders that note what they loaded."""

    def __init__(self, residents: Residents) -> None:
        self.residents, self.loaded = residents, list[str]()

    def get(self, *names: str, nbytes: int | None = 40) -> None:
        for name in names:
            self.residents.get(name, name, lambda name=name: self.loaded.append(name), nbytes)

    @property
    def held(self) -> set[str]:
        return {held.name for held in self.residents.held()}


def test_without_a_limit_all_stay() -> None:
    """Nothing leaves by itself."""
    loads = Loads(Residents())

    loads.get(*"abcdef")

    assert loads.held == set("abcdef")


def test_room_is_made_before_the_load() -> None:
    """When the loader runs, what gives way for it is gone."""
    residents = Residents(max_bytes=100)
    loads = Loads(residents)
    loads.get("a", "b")
    seen: list[set[str]] = []

    residents.get("c", "c", lambda: seen.append(loads.held), 40)

    assert [len(held) for held in seen] == [1]
    assert len(loads.held) == 2


def test_what_saves_least_per_byte_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two asked for alike the one that loads in no time leaves; and the large one before the small."""
    clock = iter([0.0, 100.0, 200.0, 201.0, 300.0, 301.0])
    monkeypatch.setattr("gpucache.residence.cache.time.perf_counter", lambda: next(clock))
    loads = Loads(Residents(max_bytes=100))
    loads.get("slow", "fast", "slow", "fast", "new")

    assert loads.held == {"slow", "new"}


def test_what_declared_nothing_stays() -> None:
    """It is not counted, so to drop it would not help."""
    loads = Loads(Residents(max_bytes=100))
    loads.get("unknown", nbytes=None)

    loads.get(*"abcd")

    assert "unknown" in loads.held
    assert len(loads.held) == 3


def test_larger_than_the_limit_is_alone() -> None:
    """It is loaded all the same: the limit chooses what leaves, it does not refuse a call."""
    loads = Loads(Residents(max_bytes=100))
    loads.get("a", "b")

    loads.get("huge", nbytes=1000)

    assert loads.held == {"huge"}


def test_a_load_that_fails_leaves_no_debt() -> None:
    """Room that was made for a loader that raised is free again."""
    residents = Residents(max_bytes=100)
    loads = Loads(residents)

    def fail() -> None:
        raise LookupError("no such weights")

    for _ in range(3):
        with pytest.raises(LookupError):
            residents.get("bad", "bad", fail, 90)
    loads.get("a", "b")

    assert loads.held == {"a", "b"}


def test_two_loads_at_once_share_the_limit() -> None:
    """What is being loaded counts: two loads side by side don't both take the last room."""
    residents = Residents(max_bytes=100)
    loads = Loads(residents)
    loads.get("a")
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> None:
        begun.set()
        go_on.wait(30)

    thread = threading.Thread(target=lambda: residents.get("slow", "slow", slowly, 60))
    thread.start()
    begun.wait(30)
    loads.get("b")
    during = loads.held
    go_on.set()
    thread.join(30)

    assert during == {"b"}
    assert loads.held == {"slow", "b"}


def test_a_limit_that_makes_no_sense_is_refused() -> None:
    """Said with the setting's name."""
    with pytest.raises(BadSetting, match="resident_max_bytes"):
        Config(resident_max_bytes=-1)
