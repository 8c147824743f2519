"""What a class is: everything that its definition left behind, and the classes that it builds on.

As it lives, not as it is written: attributes that were set later count, and nothing needs to be proven of a text. What a
library generates from the fields (the methods of a dataclass, of a named tuple) follows from the fields, so the fields count.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gpucache.errors import NotIdentifiable
from gpucache.fingerprint.class_makers import FOLLOWS, describe_made
from gpucache.fingerprint.graph import Item, Node

if TYPE_CHECKING:
    from gpucache.fingerprint.walk import Walk

_NOT_CONTENT = frozenset(
    {
        "__abstractmethods__",
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__classcell__",
        "__classdictcell__",
        "__conditional_annotations__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__dict__",
        "__doc__",
        "__firstlineno__",
        "__module__",
        "__orig_bases__",
        "__parameters__",
        "__qualname__",
        "__signature__",
        "__slotnames__",
        "__static_attributes__",
        "__weakref__",
        "_abc_impl",
    }
)
_SLOTS = (
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
)


def describe_class(walk: Walk, node: Node, cls: type) -> None:
    """Append what a class is to its node's items."""
    walk.reads.cls(cls)
    items = node.items
    label = node.component.partition(":")[2]
    items.append(b"class " + cls.__name__.encode())
    for base in cls.__bases__:
        if base is not object:
            items.append(b"base")
            walk.describe(base, f"{label}.<base>", items)
    if type(cls) is not type:
        items.append(b"metaclass")
        walk.describe(type(cls), f"{label}.<metaclass>", items)
    for base in cls.__dict__.get("__orig_bases__", ()):
        _describe_annotation(walk, base, items)
    for name, annotation in _annotations(cls).items():
        items.append(b"annotation " + name.encode())
        _describe_annotation(walk, annotation, items)
    if "__dataclass_fields__" in cls.__dict__:
        _describe_fields(walk, cls, label, items)
    describe_made(walk, cls, label, items)
    if isinstance(cls, abc.ABCMeta):
        _describe_virtual_subclasses(walk, cls, items)
    if isinstance(cls, enum.EnumMeta):
        _describe_members(walk, cls, label, items)
    for name, value in _content(cls):
        items.append(name.encode())
        _describe_attribute(walk, cls, value, f"{label}.{name}", items)


def _content(cls: type) -> Iterator[tuple[str, Any]]:
    """The attributes that count, in the order of their names."""
    for name, value in sorted(cls.__dict__.items()):
        if (
            name in ("__hash__", "__match_args__")
            and "__dataclass_fields__" in cls.__dict__
            and not _function_of(value)
        ):
            continue  # follow from the fields
        if name in _NOT_CONTENT or name in FOLLOWS or isinstance(value, _SLOTS):
            continue
        if name.startswith("_") and _is_generated(value):
            continue
        if isinstance(cls, enum.EnumMeta) and (
            name in cls.__members__ or (_is_sunder(name) and not _function_of(value))
        ):
            continue
        if type(value).__module__ == "_collections":  # a named tuple's field
            continue
        yield name, value


def _describe_attribute(walk: Walk, cls: type, value: Any, label: str, items: list[Item]) -> None:
    try:
        walk.describe(value, label, items)
    except NotIdentifiable as refusal:
        kind = type(value)
        made_by_library = not walk.context.is_project_class(kind) and (
            hasattr(kind, "__get__") or type(cls) is not type
        )
        if not made_by_library or kind.__module__ in ("builtins", "_thread", "threading"):
            raise
        items.append(f"a {kind.__module__}.{kind.__qualname__}".encode())
        walk.note(f"{label} counts by its class alone: {refusal.why}")


def _is_generated(value: Any) -> bool:
    """Whether a method was generated from the fields by dataclasses, namedtuple or attrs: then the fields tell it."""
    function = _function_of(value)
    if function is None:
        return False
    home = str(function.__globals__.get("__name__"))
    code = function.__code__
    return (
        home in ("dataclasses", "collections")
        or home.startswith("namedtuple_")
        or code.co_qualname.startswith("__create_fn__.")  # what dataclasses name their exec()'s scope
        or code.co_filename.startswith("<attrs generated")
    )


def _function_of(value: Any) -> types.FunctionType | None:
    inner = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    return inner if isinstance(inner, types.FunctionType) else None


def _is_sunder(name: str) -> bool:
    return name.startswith("_") and name.endswith("_") and not name.startswith("__")


def _describe_fields(walk: Walk, cls: type, label: str, items: list[Item]) -> None:
    items.append(b"dataclass " + repr(cls.__dict__["__dataclass_params__"]).encode())
    fields: Mapping[str, dataclasses.Field[Any]] = cls.__dict__["__dataclass_fields__"]
    for name, field in fields.items():
        switches = (field.init, field.repr, field.hash, field.compare, field.kw_only)
        kind = field._field_type  # type: ignore[attr-defined]  # ClassVar, InitVar or field: no public name
        items.append(f"field {name} {switches} {kind}".encode())
        for part, value in (("default", field.default), ("default_factory", field.default_factory)):
            if not isinstance(
                value, type(dataclasses.MISSING)
            ):  # pickled by value with its class, it is no longer `is`
                items.append(part.encode())
                walk.describe(value, f"{label}.{name}", items)
        if field.metadata:
            walk.describe(dict(field.metadata), f"{label}.{name}.metadata", items)


def _describe_virtual_subclasses(walk: Walk, cls: abc.ABCMeta, items: list[Item]) -> None:
    """Classes that were registered: isinstance() says yes to them."""
    registered = (reference() for reference in _registry_of(cls))
    known = {kind.__module__ + kind.__qualname__: kind for kind in registered if kind is not None}
    for _, kind in sorted(known.items()):
        items.append(b"registered")
        walk.describe(kind, "", items)


def _registry_of(cls: abc.ABCMeta) -> Iterable[Callable[[], type | None]]:
    dump = getattr(abc, "_get_dump", None)  # no public name; without it nothing is known
    found: Iterable[Callable[[], type | None]] = () if dump is None else dump(cls)[0]
    return found


def _describe_members(walk: Walk, cls: enum.EnumMeta, label: str, items: list[Item]) -> None:
    members: Mapping[str, Any] = cls.__members__
    for name, member in members.items():
        items.append(b"member " + name.encode())
        walk.describe(member.value, f"{label}.{name}", items)


def _annotations(cls: type) -> Mapping[str, Any]:
    """A class's own annotations: they make fields, validators, columns."""
    try:
        return inspect.get_annotations(cls)
    except NameError:  # Python 3.14 evaluates them when asked, and one names what is only imported for type checkers
        lazy: Any = importlib.import_module("annotationlib")
        texts: Mapping[str, Any] = lazy.get_annotations(cls, format=lazy.Format.STRING)
        return texts


def _describe_annotation(walk: Walk, annotation: Any, items: list[Item]) -> None:
    origin = typing.get_origin(annotation)
    if isinstance(annotation, str):
        items.append(b"text " + annotation.encode("utf-8", "surrogatepass"))
    elif origin is not None and origin is not annotation:  # Generic is its own origin
        items.append(b"generic")
        _describe_annotation(walk, origin, items)
        arguments = typing.get_args(annotation)
        if origin is typing.Annotated:
            arguments = (annotation.__origin__, *annotation.__metadata__)
        for argument in arguments:
            _describe_annotation(walk, argument, items)
    elif isinstance(annotation, list | tuple):
        items.append(b"list %d" % len(annotation))
        for argument in annotation:
            _describe_annotation(walk, argument, items)
    else:
        _describe_plain_annotation(walk, annotation, items)


def _describe_plain_annotation(walk: Walk, annotation: Any, items: list[Item]) -> None:
    is_special = type(annotation).__module__ in ("typing", "typing_extensions")
    try:
        if is_special:
            items.append(repr(annotation).encode())
        else:
            walk.describe(annotation, "", items)
    except NotIdentifiable:
        items.append(repr(annotation).encode("utf-8", "surrogatepass"))
