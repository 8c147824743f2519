"""What a function is: its form, with what each of its references leads to, its defaults, and what it says it wraps."""

from __future__ import annotations

import os
import sys
import types
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from gpucache.errors import NotIdentifiable
from gpucache.fingerprint.graph import Item, Node, Value
from gpucache.fingerprint.normal_form import Form, Ref
from gpucache.fingerprint.project import file_of_module, root_of
from gpucache.fingerprint.references import Live, Outside, Target, function_label
from gpucache.fingerprint.whole import project_files

if TYPE_CHECKING:
    from gpucache.fingerprint.walk import Walk

_BLIND = frozenset(
    {
        "builtins.eval",
        "builtins.exec",
        "builtins.__import__",
        "importlib.import_module",
        "importlib.__import__",
        "importlib.reload",
        "sys.modules",
        "runpy.run_path",
        "runpy.run_module",
        "pkgutil.resolve_name",
        "pydoc.locate",
    }
)
"""What can reach any code by a name that is made at run time."""


def describe_function(walk: Walk, node: Node, function: types.FunctionType, *, defaults: bool) -> Form:
    """Append what a function is to its node's items; return its form.

    Args:
        defaults: Whether its own defaults count; not where they are arguments of the call.
    """
    form, note = walk.context.form(function)
    label = function_label(function)
    if note:
        walk.note(note)
    walk.reads.function(function)
    walk.code(function.__code__)
    node.items.append(b"function")
    _describe_references(walk, function, form, node.items)
    if "__class__" in function.__code__.co_freevars:  # super() without arguments
        _describe_reference(walk, function, Ref("__class__"), node.items)
    if defaults:
        _describe_defaults(walk, function, label, node.items)
    wrapped = function.__dict__.get("__wrapped__")
    if wrapped is not None:
        node.items.append(b"wraps")
        walk.describe(wrapped, f"{label}.__wrapped__", node.items)
    return form


def where(function: types.FunctionType) -> str:
    """Where a function is, for people: "helpers.py:12 norm"."""
    code = function.__code__
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno} {code.co_qualname}"


def _describe_references(walk: Walk, function: types.FunctionType, form: Form, items: list[Item]) -> None:
    """The form with its slots numbered by what they lead to: `norm` and `helpers.norm` are one slot for one function."""
    places: dict[tuple[object, ...], int] = {}
    order: list[int] = []
    targets: list[Item] = []
    for ref in form.refs:
        described: list[Item] = []
        _describe_reference(walk, function, ref, described)
        key = tuple(map(_same_item, described))
        if key not in places:
            places[key] = len(places)
            targets += [b"slot", *described]
        order.append(places[key])
    slots = [b"@%d " % order[slot] for slot in form.slots]
    items.append(b"".join(piece + slot for piece, slot in zip(form.pieces, [*slots, b""], strict=True)))
    items += targets


def _same_item(item: Item) -> object:
    """What two items that mean the same have in common."""
    # Equal constants of two names are two: else a change of one would be told as a change of the code that reads both.
    return (
        (item.digest, item.component)
        if isinstance(item, Value)
        else id(item)
        if isinstance(item, Node)
        else b"b" + item
    )


def _describe_reference(walk: Walk, function: types.FunctionType, ref: Ref, items: list[Item]) -> None:
    target = walk.references.follow(function, ref)
    if ref.use == "guard":
        items.append(b"guarded " + _availability(walk, target))
    elif isinstance(target, Outside):
        _describe_outside(walk, function, ref, target.path, items)
    elif isinstance(target, Live):
        _describe_live(walk, function, target, items)
    else:
        items.append(target.text)


def _availability(walk: Walk, target: Target) -> bytes:
    """Of an import that may fail, whether it would."""
    if isinstance(target, Outside):
        top = target.path.partition(".")[0]
        is_there = file_of_module(top) is not None or top in sys.builtin_module_names
        return walk.outside(target.path) + (b" there" if is_there else b" not there")
    return b"there" if isinstance(target, Live) else b"not there"


def _describe_outside(walk: Walk, function: types.FunctionType, ref: Ref, path: str, items: list[Item]) -> None:
    if ref.use != "literal" and (path in _BLIND or path.startswith("sys.modules.")):
        _describe_blind(walk, function, path, items)
    elif path == "builtins.globals":
        _describe_own_module(walk, function, items)
    elif path == "sys.argv":
        walk.describe(sys.argv, "sys.argv", items)
        return
    items.append(walk.outside(path))


def _describe_blind(walk: Walk, function: types.FunctionType, path: str, items: list[Item]) -> None:
    if walk.context.strict:
        why = "it can reach any code by a name made at run time, and strict is set"
        raise NotIdentifiable(where(function), path, why, "call what it names directly, or unset strict")
    walk.note(f"{where(function)} uses {path}, which can reach any code: all of the project counts")
    _describe_own_module(walk, function, items)
    items.extend(project_files(walk, function.__code__.co_filename))


def _describe_own_module(walk: Walk, function: types.FunctionType, items: list[Item]) -> None:
    module = sys.modules.get(str(function.__globals__.get("__name__")))
    if module is not None and vars(module) is function.__globals__:
        items.append(
            walk.node(module, f"code:{function_label(function).rpartition('.')[0]} (whole)", "its whole module")
        )


def _describe_live(walk: Walk, function: types.FunctionType, target: Live, items: list[Item]) -> None:
    if target.rest:
        items.append("".join(f".{name}" for name in target.rest).encode())
    obj = target.obj
    attribute = target.rest[0] if target.rest else ""
    if isinstance(obj, types.FunctionType) and attribute in obj.__dict__ and attribute != "__wrapped__":
        walk.describe(obj.__dict__[attribute], f"{target.label}.{attribute}", items)
    if _is_in_project(obj, function):
        walk.path_texts[str(obj)] = None
        items.append(_path_in_project(obj, function))
    else:
        walk.describe(obj, target.label, items, group="closure" if target.is_closure else "const")


def _describe_defaults(walk: Walk, function: types.FunctionType, label: str, items: list[Item]) -> None:
    code, given = function.__code__, function.__defaults__ or ()
    positional = code.co_varnames[: code.co_argcount]
    pairs = zip(positional[len(positional) - len(given) :], given, strict=True)
    for name, value in (*pairs, *sorted((function.__kwdefaults__ or {}).items())):
        items.append(b"default " + name.encode())
        walk.describe(value, f"{label}({name})", items)


def _is_in_project(obj: object, function: types.FunctionType) -> bool:
    """Whether a value is a path within the project: a moved project is the same project."""
    if not isinstance(obj, str | PurePath) or not os.path.isabs(obj):
        return False
    file, text = function.__code__.co_filename, str(obj)
    root = root_of(file) if os.path.isabs(file) else os.sep
    return root != os.sep and (text == root or text.startswith(root + os.sep))


def _path_in_project(obj: Any, function: types.FunctionType) -> bytes:
    inside = os.path.relpath(obj, root_of(function.__code__.co_filename))
    return f"{'path' if isinstance(obj, PurePath) else 'text'} in the project: {inside}".encode(
        "utf-8", "surrogateescape"
    )
