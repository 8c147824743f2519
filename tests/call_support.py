"""What tests of calls ask: did a body run?"""

from __future__ import annotations

from collections.abc import Callable

from gpucache.events import Event, State, hooks


def ran(call: Callable[[], object]) -> tuple[object, bool]:
    """What a call gave, and whether its body, or that of a call within it, ran, its result kept or not."""
    events: list[Event] = []
    hooks.add(events.append)
    try:
        return call(), any(getattr(event, "state", None) in (State.RAN, State.UNCACHED) for event in events)
    finally:
        hooks.remove(events.append)
