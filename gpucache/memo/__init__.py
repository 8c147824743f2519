"""The same call twice: key, explanation, look up, compute once, publish."""

from __future__ import annotations

from gpucache.memo.environment import Numerics, environment_text
from gpucache.memo.execute import Done, ResultNotStored, Takeoff, Work, checked, execute, find, publish, watch_of
from gpucache.memo.explain import ACCEPTED, Candidate, Explanation, Kind, Reason, differences, explain, newest
from gpucache.memo.inputs import forget, inputs_of_parts, lookup, parts_of_inputs, remember
from gpucache.memo.keepers import generation_of
from gpucache.memo.key import Identity, Key, Parts, header_of, key_of
from gpucache.memo.sharing import fetch
from gpucache.memo.sources import CodeChange
from gpucache.memo.sources import changes as code_changes
from gpucache.memo.unstored import why_unstored
from gpucache.memo.watching import Watch, current_watch, note_hit
from gpucache.shown import shown

__all__ = [
    "ACCEPTED",
    "Candidate",
    "CodeChange",
    "Done",
    "Explanation",
    "Identity",
    "Key",
    "Kind",
    "Numerics",
    "Parts",
    "Reason",
    "ResultNotStored",
    "Takeoff",
    "Watch",
    "Work",
    "checked",
    "code_changes",
    "current_watch",
    "differences",
    "environment_text",
    "execute",
    "explain",
    "fetch",
    "find",
    "forget",
    "generation_of",
    "header_of",
    "inputs_of_parts",
    "key_of",
    "lookup",
    "newest",
    "note_hit",
    "parts_of_inputs",
    "publish",
    "remember",
    "shown",
    "watch_of",
    "why_unstored",
]
