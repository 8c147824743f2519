"""jinja2's environments, which modules keep as globals: their settings and loader, not the templates that they have compiled.

A template read from a file is seen when it is read (memo/watching.py).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gpucache.digests import of_objects
from gpucache.digests.encoders import Encoder

if TYPE_CHECKING:
    from gpucache.digests.canonical import Walker


def encoders() -> tuple[Mapping[type, Encoder], Mapping[type, Encoder]]:
    """The encoder of jinja2.Environment and its subclasses."""
    return {}, {sys.modules["jinja2"].Environment: _environment}


def _environment(walker: Walker, value: Any) -> None:
    walker.tag(b"X", b"jinja2.Environment")
    walker.tag(b"", walker.class_token(type(value)))
    settings = {name: setting for name, setting in vars(value).items() if name not in ("cache", "extensions")}
    # An extension knows its environment; what it adds to it is among the settings.
    settings["extensions"] = sorted(vars(value).get("extensions", ()))
    settings["cache"] = getattr(value.cache, "capacity", None)
    of_objects.state(walker, settings)
