"""The same call twice: key, explanation, look up, compute once, publish."""

from __future__ import annotations

from gpucache.memo.environment import Numerics, environment_text
from gpucache.memo.execute import Done, ResultNotStored, Takeoff, Work, checked, execute, find, observer_of, publish
from gpucache.memo.explain import Explanation, Kind, Reason, differences, explain
from gpucache.memo.key import Identity, Key, Parts, header_of, key_of
from gpucache.memo.observed import forget, look_up, things_read
from gpucache.memo.observer import Observer, current, observing
from gpucache.memo.things import Thing, content
from gpucache.shown import shown

__all__ = [
    "Done",
    "Explanation",
    "Identity",
    "Key",
    "Kind",
    "Numerics",
    "Observer",
    "Parts",
    "Reason",
    "ResultNotStored",
    "Takeoff",
    "Thing",
    "Work",
    "checked",
    "content",
    "current",
    "differences",
    "environment_text",
    "execute",
    "explain",
    "find",
    "forget",
    "header_of",
    "key_of",
    "look_up",
    "observer_of",
    "observing",
    "publish",
    "shown",
    "things_read",
]
