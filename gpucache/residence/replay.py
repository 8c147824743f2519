"""What would have been cold? A recorded sequence of requests replayed against a policy, in order and in time.

In order: a cache of so many places, the textbook's question. In time: so many workers, each with one model loaded, busy while
they load and run; a request may be held for a while for a worker that has its model.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from gpucache.residence.policies import Policy


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a recorded trace.

    Attributes:
        at_s: When it came, s from any start.
        item: The model it is for.
        run_s: How long it ran once its model was there.
    """

    at_s: float
    item: Hashable
    run_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replay in time found.

    Attributes:
        cold_starts: How often a worker had to load a model.
        waits_s: How long each request waited before a worker took it, sorted.
    """

    cold_starts: int
    waits_s: tuple[float, ...]

    def wait_s(self, quantile: float) -> float:
        """The wait that this share of the requests did not exceed."""
        return self.waits_s[min(len(self.waits_s) - 1, int(quantile * len(self.waits_s)))] if self.waits_s else 0.0


def cold_starts_in_order(items: Sequence[Hashable], places: int, policy: Policy) -> int:
    """Misses of a cache of so many places, request after request, each answered at once."""
    held: set[Hashable] = set()
    misses = 0
    for item in items:
        policy.asked(item)
        if item in held:
            continue
        misses += 1
        if len(held) >= places:
            held.remove(policy.victim(held))
        held.add(item)
    return misses


def fewest_cold_starts(items: Sequence[Hashable], places: int) -> int:
    """What no policy can go below in order: what is asked for latest goes (Belady, 1966). It knows the future."""
    asked_next: list[float] = [0.0] * len(items)
    later: dict[Hashable, float] = {}
    for index in range(len(items) - 1, -1, -1):
        asked_next[index] = later.get(items[index], float("inf"))
        later[items[index]] = index
    held: dict[Hashable, float] = {}
    misses = 0
    for index, item in enumerate(items):
        if item not in held:
            misses += 1
            if len(held) >= places:
                del held[max(held, key=held.__getitem__)]
        held[item] = asked_next[index]
    return misses


@dataclass(slots=True)
class _Pool:
    """Workers as a replay sees them."""

    model: list[Hashable | None]
    busy: list[bool]
    cold_starts: int = 0

    def warm(self, item: Hashable) -> int | None:
        return next((w for w, held in enumerate(self.model) if held == item and not self.busy[w]), None)

    def to_load(self, policy: Policy) -> int | None:
        """An idle worker to give up: an empty one, one that has a twin, else the policy's choice; None if all are busy."""
        idle = [w for w, is_busy in enumerate(self.busy) if not is_busy]
        empty = next((w for w in idle if self.model[w] is None), None)
        if empty is not None or not idle:
            return empty
        copies = Counter(self.model)
        twin = next((w for w in idle if copies[self.model[w]] > 1), None)
        if twin is not None:
            return twin
        by_model = {self.model[w]: w for w in idle}
        return by_model[policy.victim(list(by_model))]


@dataclass(slots=True)
class _Replay:
    pool: _Pool
    policy: Policy
    load_s: float
    wait_max_s: float
    waiting: deque[Request] = field(default_factory=deque)
    events: list[tuple[float, int, int | None]] = field(
        default_factory=list
    )  # when; a tie-break; the worker that is free
    waits_s: list[float] = field(default_factory=list)
    _order: Callable[[], int] = field(default_factory=lambda: itertools.count().__next__)

    def come(self, request: Request) -> None:
        self.policy.asked(request.item)
        self.waiting.append(request)
        self.events_add(request.at_s + self.wait_max_s, None)
        self.settle(request.at_s)

    def events_add(self, at_s: float, worker: int | None) -> None:
        heapq.heappush(self.events, (at_s, self._order(), worker))

    def until(self, at_s: float) -> None:
        """Everything that happens before `at_s`: workers become free, patience ends."""
        while self.events and self.events[0][0] <= at_s:
            now_s, _, worker = heapq.heappop(self.events)
            if worker is not None:
                self.pool.busy[worker] = False
            self.settle(now_s)

    def settle(self, now_s: float) -> None:
        """Give waiting requests, oldest first, the workers that they may have."""
        kept: deque[Request] = deque()
        while self.waiting:
            request = self.waiting.popleft()
            worker = self.pool.warm(request.item)
            may_load = now_s >= request.at_s + self.wait_max_s or request.item not in self.pool.model
            if worker is None and may_load:
                worker = self.pool.to_load(self.policy)
            if worker is None:
                kept.append(request)
            else:
                self.begin(worker, request, now_s)
        self.waiting = kept

    def begin(self, worker: int, request: Request, now_s: float) -> None:
        cold = self.pool.model[worker] != request.item
        self.pool.cold_starts += cold
        self.pool.model[worker], self.pool.busy[worker] = request.item, True
        self.waits_s.append(now_s - request.at_s)
        self.events_add(now_s + request.run_s + (self.load_s if cold else 0.0), worker)


def replay_in_time(
    requests: Sequence[Request], workers: int, policy: Policy, *, load_s: float, wait_max_s: float = 0.0
) -> Outcome:
    """Replay requests, in order of time, on workers that hold one model each.

    Args:
        load_s: What loading a model takes; the worker is busy with it.
        wait_max_s: How long a request is held for a worker that has its model. After that any idle worker loads it; where none
            is idle it waits on, as it does without patience.
    """
    if workers < 1:
        raise ValueError(f"workers={workers}: a replay needs at least 1")
    state = _Replay(_Pool([None] * workers, [False] * workers), policy, load_s, wait_max_s)
    for request in requests:
        state.until(request.at_s)
        state.come(request)
    state.until(float("inf"))
    return Outcome(state.pool.cold_starts, tuple(sorted(state.waits_s)))
