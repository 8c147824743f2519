"""What libraries that make classes leave on them: attrs, msgspec, pydantic.

What follows from the fields (validators in C, schemas, generated methods) holds addresses and is made anew in every process, so
it is left out; the fields themselves, with their defaults, converters and switches, are described here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpucache.fingerprint.graph import Item

if TYPE_CHECKING:
    from gpucache.fingerprint.walk import Walk

FOLLOWS = frozenset(
    {
        "__attrs_attrs__",
        "__attrs_base_of_slotted__",
        "__pydantic_complete__",
        "__pydantic_core_schema__",
        "__pydantic_decorators__",
        "__pydantic_parent_namespace__",
        "__pydantic_serializer__",
        "__pydantic_setattr_handlers__",
        "__pydantic_validator__",
    }
)
"""Attributes that follow from what describe_made() describes, or from the rest of the class."""

_NOT_OF_A_FIELD = frozenset({"type", "inherited"})  # the annotation counts, and so does the base


def describe_made(walk: Walk, cls: type, label: str, items: list[Item]) -> None:
    """Append what a class maker keeps of a class beside its attributes."""
    for attribute, describe in _MAKERS:
        if attribute in cls.__dict__ or (attribute == "__struct_config__" and _is_struct(cls)):
            describe(walk, cls, label, items)


def _attrs(walk: Walk, cls: Any, label: str, items: list[Item]) -> None:
    for field in cls.__attrs_attrs__:
        for name in type(field).__slots__:
            if name not in _NOT_OF_A_FIELD:
                items.append(f"attrs {field.name} {name}".encode())
                walk.describe(getattr(field, name), f"{label}.{field.name}", items)


def _struct(walk: Walk, cls: Any, label: str, items: list[Item]) -> None:
    names, defaults = cls.__struct_fields__, cls.__struct_defaults__
    items.append(f"struct {names} {cls.__struct_encode_fields__}".encode())
    config = cls.__struct_config__
    switches = {name: getattr(config, name) for name in dir(config) if not name.startswith("_")}
    walk.describe(switches, f"{label}.__struct_config__", items)
    for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=True):
        items.append(f"default {name} {type(default).__name__}".encode())
        if type(default).__module__.partition(".")[0] != "msgspec":
            walk.describe(default, f"{label}.{name}", items)
        elif hasattr(default, "factory"):
            walk.describe(default.factory, f"{label}.{name}", items)


def _pydantic(walk: Walk, cls: Any, label: str, items: list[Item]) -> None:
    """Validators and serializers by name: on what, when. Their functions are attributes of the class."""
    found = cls.__pydantic_decorators__
    for group in type(found).__dataclass_fields__:
        for name, decorator in getattr(found, group).items():
            info = decorator.info
            items.append(f"pydantic {group} {name} {type(info).__name__}".encode())
            said = {part: getattr(info, part) for part in type(info).__dataclass_fields__}
            walk.describe(said, f"{label}.{name}", items)


_MAKERS: tuple[tuple[str, Callable[[Walk, Any, str, list[Item]], None]], ...] = (
    ("__attrs_attrs__", _attrs),
    ("__struct_config__", _struct),
    ("__pydantic_decorators__", _pydantic),
)


def _is_struct(cls: type) -> bool:
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and isinstance(cls, msgspec.StructMeta)
