"""The generator behind random.random(), random.shuffle(): it is the process's, so it is known by that and not by its state.

`from random import shuffle` binds a method of it, and its state is another in every process. Use of it is noticed when a
body runs (memo/randomness.py). Generators of one's own are their state.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gpucache.digests.encoders import Encoder
from gpucache.digests.of_objects import encode_object

if TYPE_CHECKING:
    from gpucache.digests.canonical import Walker


def encoders() -> tuple[Mapping[type, Encoder], Mapping[type, Encoder]]:
    """The encoder of random.Random."""
    return {sys.modules["random"].Random: _random}, {}


def _random(walker: Walker, value: Any) -> None:
    if value is getattr(sys.modules["random"], "_inst", None):
        walker.begin(b"the global generator of random", value)
    else:
        encode_object(walker, value)
