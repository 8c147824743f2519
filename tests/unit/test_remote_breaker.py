"""The circuit breaker: when a remote is left alone, for how long, and how often that is said."""

from __future__ import annotations

import threading

from gpucache.store.remote.breaker import Breaker
from gpucache.store.remote.patience import Guard, Patience
from gpucache.store.remote.pool import Pool


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def made(failures: int = 3) -> tuple[Breaker, Clock, list[str]]:
    clock, told = Clock(), list[str]()
    return Breaker(told.append, clock, failures=failures, first_s=5.0, longest_s=20.0), clock, told


def test_failures_in_a_row_open_it_and_are_said_once() -> None:
    """Two failures and an answer are nothing; three in a row leave the remote alone, with one warning."""
    breaker, _, told = made()

    for outcome in ("failed", "failed", "succeeded", "failed", "failed"):
        breaker.failed("slow") if outcome == "failed" else breaker.succeeded()
    before = breaker.may_ask()
    breaker.failed("slow")
    breaker.failed("slow, and asked before the pause began")

    assert before
    assert not breaker.may_ask()
    assert told == ["slow"]


def test_after_the_pause_one_caller_tries() -> None:
    """Everybody waits for the one that tries, and its answer lets all of them in."""
    breaker, clock, _ = made(1)
    breaker.failed("gone")

    clock.now = 4.9
    early = breaker.may_ask()
    clock.now = 5.0
    first, second = breaker.may_ask(), breaker.may_ask()
    breaker.succeeded()

    assert (early, first, second, breaker.may_ask()) == (False, True, False, True)
    assert breaker.wait_s() == 0


def test_a_failing_try_doubles_the_pause_up_to_a_limit_and_says_nothing() -> None:
    """A remote that stays away is asked at 5, 10, 20, 20 s, and cost one warning."""
    breaker, clock, told = made(1)
    breaker.failed("gone")
    pauses = []

    for _ in range(5):
        pauses.append(breaker.wait_s())
        clock.now += breaker.wait_s()
        assert breaker.may_ask()
        breaker.failed("still gone")

    assert pauses == [5.0, 10.0, 20.0, 20.0, 20.0]
    assert told == ["gone"]


def test_another_outage_is_said_again() -> None:
    """Who reads the log sees when each outage began."""
    breaker, clock, told = made(1)
    breaker.failed("gone")
    clock.now = 5.0
    breaker.may_ask()
    breaker.succeeded()

    breaker.failed("gone again")

    assert told == ["gone", "gone again"]


def test_the_guard_ends_a_wait_that_nobody_ends() -> None:
    """A patience that ends is told of; one that was dropped before is not."""
    guard, over = Guard(), threading.Event()
    dropped = Patience(0.01)
    guard.add(dropped, lambda: over.wait(0) or (_ for _ in ()).throw(AssertionError))
    guard.drop(dropped)

    guard.add(Patience(0.01), over.set)

    assert over.wait(10)
    guard.close()


def test_a_lost_thread_is_replaced() -> None:
    """A pool of one thread goes on when that thread never comes back."""
    pool, stuck = Pool(1, "test"), threading.Event()
    thread: list[int] = []
    first = pool.submit(lambda: (thread.append(threading.get_ident()), stuck.wait(20)))
    while not thread:
        pass
    second = pool.submit(lambda: "done")

    pool.lose(thread[0])

    assert second.result(10) == "done"
    stuck.set()
    first.result(10)
    pool.close()


def test_what_a_task_of_a_pool_raises_reaches_who_waits() -> None:
    """Nothing is lost in a thread."""
    pool = Pool(2, "test")

    found = pool.submit(lambda: 1 // 0)

    assert isinstance(found.exception(10), ZeroDivisionError)
    pool.close()
