"""The standard library's values whose own reduce tells more or less than they are: paths, enums, methods, views."""

from __future__ import annotations

import contextvars
import enum
import pathlib
import struct
import types
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpucache.digests import of_objects
from gpucache.digests.encoders import Encoder, add_encoder, add_family

if TYPE_CHECKING:
    from gpucache.digests.canonical import Walker


def _path(walker: Walker, value: pathlib.Path) -> None:
    """A path of this machine is its text, whichever class the platform makes of it."""
    walker.begin(b"Path", value)
    walker.tag(b"", value.as_posix().encode("utf-8", "surrogateescape"))


def _pure_path(walker: Walker, value: pathlib.PurePath) -> None:
    walker.begin(b"PurePath", value)
    walker.tag(b"", type(value).__name__.encode(), str(value).encode("utf-8", "surrogateescape"))


def _enum(walker: Walker, value: enum.Enum) -> None:
    """A member: its class, its name (None for a combination of flags) and its value, not what was set on it since."""
    walker.tag(b"X", b"Enum")
    walker.tag(b"", walker.class_token(type(value)))
    walker.child(".name", value._name_)
    walker.child(".value", value._value_)


def _method(walker: Walker, value: types.MethodType) -> None:
    """A bound method: its function and what it is bound to. Its reduce asks the object for the name, and may find another."""
    token = walker.code_token(value)
    if token is not None:
        walker.tag(b"Y", token)
        return
    walker.begin(b"method", value)
    walker.child(".__func__", value.__func__)
    walker.child(".__self__", value.__self__)


def _mapping_proxy(walker: Walker, value: types.MappingProxyType[Any, Any]) -> None:
    walker.begin(b"mappingproxy", value)
    walker.child("", dict(value))


def _memoryview(walker: Walker, value: memoryview) -> None:
    """What a view shows: format, shape and elements in logical order; whose memory it is does not count."""
    walker.begin(b"memoryview", value)
    shape = value.shape or ()
    walker.tag(b"", value.format.encode(), struct.pack(f"<{len(shape)}Q", *shape), value.tobytes())


def _context_variable(walker: Walker, value: contextvars.ContextVar[Any]) -> None:
    """A context variable is its name and what it holds here and now."""
    walker.begin(b"ContextVar", value)
    walker.child(".name", value.name)
    try:
        held: object = (value.get(),)
    except LookupError:
        held = None
    walker.child(".get()", held)


def _struct_format(walker: Walker, value: struct.Struct) -> None:
    walker.begin(b"Struct", value)
    walker.child(".format", value.format)


def _reference(walker: Walker, value: weakref.ReferenceType[Any]) -> None:
    """A weak reference is what it leads to, now; None if that is gone."""
    walker.begin(b"ref", value)
    walker.child("()", value())


def _weak_container(content: Callable[[Any], object]) -> Encoder:
    def encode(walker: Walker, value: Any) -> None:
        walker.tag(b"X", type(value).__name__.encode())
        walker.child("", content(value))

    return encode


def _singleton(walker: Walker, value: object) -> None:
    walker.begin(repr(value).encode(), value)


def _code(walker: Walker, value: Any) -> None:
    of_objects.encode_object(walker, value)


add_encoder(pathlib.PosixPath, _path)
add_encoder(pathlib.WindowsPath, _path)
add_encoder(pathlib.PurePosixPath, _pure_path)
add_encoder(pathlib.PureWindowsPath, _pure_path)
add_family(enum.Enum, _enum)
add_encoder(types.MethodType, _method)
add_encoder(weakref.ref, _reference)
add_encoder(weakref.WeakSet, _weak_container(set))
add_encoder(weakref.WeakValueDictionary, _weak_container(dict))
add_encoder(weakref.WeakKeyDictionary, _weak_container(dict))
add_encoder(types.MappingProxyType, _mapping_proxy)
add_encoder(memoryview, _memoryview)
add_encoder(struct.Struct, _struct_format)
add_encoder(contextvars.ContextVar, _context_variable)
add_encoder(type(...), _singleton)
add_encoder(type(NotImplemented), _singleton)
# Code is met often: looked up once, it needs no walk along its bases.
for _kind in (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType):
    add_encoder(_kind, _code)
