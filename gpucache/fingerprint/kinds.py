"""What each kind of live object is made of, beside plain data: functions, classes, modules, and the wrappers of them.

One function per kind; `describer_of` chooses. A library's wrapper (lru_cache, partial, contextmanager, a compiled function)
counts as its class and what it wraps; a task as the function that it runs.
"""

from __future__ import annotations

import functools
import gc
import logging
import operator
import os
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpucache.errors import NotIdentifiable
from gpucache.fingerprint.context import Context
from gpucache.fingerprint.graph import Item, Node
from gpucache.fingerprint.path_texts import attributes_of
from gpucache.fingerprint.project import is_compiled
from gpucache.fingerprint.references import cell_content, label_of_module

if TYPE_CHECKING:
    from gpucache.fingerprint.walk import Walk

Describer = Callable[["Walk", Any, str, list[Item]], None]

_CACHES = frozenset({"cache_token", "dispatch_cache", "funcname"})
"""What singledispatch remembers beside its registry; a call changes it."""

_ENVIRON = os._Environ  # no public name

_WRAPPED_AS = ("__wrapped__", "py_func")  # functools.update_wrapper's name, numba's


def describer_of(context: Context, obj: Any) -> Describer | None:
    """Who describes this object; None for plain data, which counts by its digest."""
    kind = type(obj)
    known = _BY_KIND.get(kind)
    if known is not None:
        return known
    if isinstance(obj, type):
        return _describe_class
    if isinstance(obj, types.ModuleType):
        return _describe_module
    if _is_task(obj):
        return _describe_task
    if isinstance(obj, _ENVIRON):
        return _describe_environment
    if kind.__module__ == "numpy" and kind.__name__ == "ufunc":
        return _describe_ufunc
    if isinstance(obj, logging.Logger | logging.LoggerAdapter):
        return _describe_logger
    if _wrapped(obj) is not None and not context.is_project_class(kind):
        return _describe_wrapper
    return None


def _describe_function(walk: Walk, function: types.FunctionType, label: str, items: list[Item]) -> None:
    if walk.context.is_project_function(function):
        item = walk.symbol(function)
        if isinstance(item, Node) and function.__name__ == "<lambda>" and "<" not in label:
            item.component = f"code:{label}"  # of several lambdas on a line, the one in this place of a table
        items.append(item)
        return
    module, qualname = function.__module__ or "", function.__qualname__
    if "<locals>" not in qualname and not walk.context.project.has_module(module):
        items.append(walk.outside(f"{module}.{qualname}"))
        return
    # Made by a library around something of ours: contextmanager, singledispatch, wraps.
    home = str(function.__globals__.get("__name__"))
    items.append(walk.outside(f"{home}.{function.__code__.co_qualname}"))
    walk.reads.function(function)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if home == "functools" and name in _CACHES:
            continue
        content = cell_content(cell)
        walk.reads.cell(cell, content)
        _describe_inner(walk, content, f"{label}.{name}", items)
    _count_annotations(home, function.__dict__.get("__wrapped__"), items)


def _describe_inner(walk: Walk, content: object, label: str, items: list[Item]) -> None:
    """A library's own state beside what it wraps; what has no identity (a cache, a lock) is known by its class."""
    try:
        walk.describe(content, label, items)
    except NotIdentifiable:
        if walk.context.is_project_class(type(content)):
            raise
        items.append(f"a {type(content).__module__}.{type(content).__qualname__}".encode())


def _describe_class(walk: Walk, cls: type, _label: str, items: list[Item]) -> None:
    if walk.context.is_project_class(cls):
        items.append(walk.symbol(cls))
    else:
        items.append(walk.outside(f"{cls.__module__}.{cls.__qualname__}"))


def _describe_module(walk: Walk, module: types.ModuleType, label: str, items: list[Item]) -> None:
    file = getattr(module, "__file__", None)
    if not walk.context.project.has(module):
        items.append(walk.outside(module.__name__))
    elif isinstance(file, str) and is_compiled(file):
        items.append(walk.extension(file))
    elif walk.context.alone:
        items.append(b"unfollowed module")
    else:
        items.append(walk.node(module, f"code:{label_of_module(module)}", f"{os.path.basename(file or label)} (whole)"))


def _describe_task(walk: Walk, task: Any, label: str, items: list[Item]) -> None:
    """A task, flow or resident counts as the function that it runs, and the version that its author gave it."""
    version = getattr(getattr(task, "options", None), "version", None)
    if isinstance(version, str):
        items.append(b"version " + version.encode())
    if hasattr(task, "gpu_memory_bytes"):  # a resident: its value stays
        walk.keepers.add(task.fn.__code__)
    walk.describe(task.fn, label, items)


def _describe_logger(_walk: Walk, _logger: object, _label: str, items: list[Item]) -> None:
    items.append(b"a logger")  # its name may be __main__, and what it prints is no result


def _describe_environment(_walk: Walk, _environment: object, _label: str, items: list[Item]) -> None:
    items.append(b"the environment")  # what is looked up in it is seen when the body runs


def _describe_partial(walk: Walk, partial: Any, label: str, items: list[Item]) -> None:
    items.append(type(partial).__name__.encode())
    walk.describe(partial.func, label, items)
    for index, value in enumerate(partial.args):
        items.append(b"argument")
        walk.describe(value, f"{label}({index})", items)
    for name, value in sorted(partial.keywords.items()):
        items.append(b"keyword " + name.encode())
        walk.describe(value, f"{label}({name})", items)


def _describe_method(walk: Walk, method: types.MethodType, label: str, items: list[Item]) -> None:
    items.append(b"method")
    walk.describe(method.__func__, label, items)
    walk.describe(method.__self__, f"{label}.__self__", items)


def _describe_builtin(walk: Walk, function: Any, label: str, items: list[Item]) -> None:
    owner = function.__self__
    if owner is not None and not isinstance(owner, types.ModuleType):
        items.append(b"builtin method " + function.__name__.encode())
        walk.describe(owner, f"{label}.__self__", items)
        return
    module = function.__module__ or getattr(owner, "__name__", "builtins")
    if walk.context.project.has_module(module) and module in sys.modules:
        _describe_module(walk, sys.modules[module], module, items)
    items.append(walk.outside(f"{module}.{function.__qualname__}"))


def _describe_ufunc(walk: Walk, ufunc: Any, label: str, items: list[Item]) -> None:
    """A library's counts as the path that leads to it, as if the code had named it; one made of a function, as that."""
    name = _path_to(walk.context, ufunc)
    if name is not None:
        items.append(walk.outside(name))
        return
    made_of = [obj for obj in gc.get_referents(ufunc) if callable(obj)]
    if not made_of:
        raise NotIdentifiable(label, "numpy.ufunc", f"no module has it as {ufunc.__name__}", "name it in a module")
    items.append(walk.outside("numpy.ufunc") + f" {ufunc.nin} {ufunc.nout} {ufunc.identity!r}".encode())
    for function in made_of:
        walk.describe(function, label, items)


def _path_to(context: Context, obj: Any) -> str | None:
    """The most public path to a library's object, whatever else has imported it; None if no library has it."""
    own_name: str = obj.__name__
    modules = [(name, module) for name, module in list(sys.modules.items()) if type(module) is types.ModuleType]
    found = [
        f"{name}.{own_name}"
        for name, module in modules
        if vars(module).get(own_name) is obj and not context.project.has(module)
    ]
    return min(found, key=lambda path: (path.count("._"), path.count("."), path), default=None)


def _describe_wrapper(walk: Walk, wrapper: Any, label: str, items: list[Item]) -> None:
    kind = type(wrapper)
    items.append(walk.outside(f"{kind.__module__}.{kind.__qualname__}"))
    wrapped = _wrapped(wrapper)
    if isinstance(wrapped, types.FunctionType):
        walk.keepers.add(wrapped.__code__)
    walk.describe(wrapped, label, items)
    _count_annotations(kind.__module__, wrapped, items)


def _describe_property(walk: Walk, prop: property, label: str, items: list[Item]) -> None:
    items.append(type(prop).__name__.encode())
    for name in ("fget", "fset", "fdel"):
        if getattr(prop, name) is not None:
            items.append(name.encode())
            walk.describe(getattr(prop, name), f"{label}.{name}", items)


def _describe_by(attribute: str) -> Describer:
    """A descriptor that is its class and one function."""
    read = operator.attrgetter(attribute)

    def describe(walk: Walk, obj: Any, label: str, items: list[Item]) -> None:
        items.append(type(obj).__name__.encode())
        walk.describe(read(obj), label, items)

    return describe


def _count_annotations(module: str, function: Any, items: list[Item]) -> None:
    """An installed library that wraps a function may read its annotations (validators, command lines); Python's own do not."""
    if isinstance(function, types.FunctionType) and module.partition(".")[0] not in sys.stdlib_module_names:
        annotations = {name: str(annotation) for name, annotation in function.__annotations__.items()}
        items.append(b"annotations " + repr(annotations).encode("utf-8", "surrogatepass"))


def _is_task(obj: Any) -> bool:
    return type(obj).__module__.startswith("gpucache.") and callable(getattr(obj, "fn", None))


def _wrapped(obj: Any) -> Any:
    """What a wrapper object wraps. Only its own attributes are looked at: a user's __getattr__ is not run."""
    own = attributes_of(obj)
    return next((own[name] for name in _WRAPPED_AS if callable(own.get(name))), None)


_BY_KIND: dict[type, Describer | None] = {
    types.FunctionType: _describe_function,
    types.ModuleType: _describe_module,
    types.MethodType: _describe_method,
    types.BuiltinFunctionType: _describe_builtin,
    functools.partial: _describe_partial,
    functools.partialmethod: _describe_partial,
    functools.cached_property: _describe_by("func"),
    property: _describe_property,
    staticmethod: _describe_by("__func__"),
    classmethod: _describe_by("__func__"),
}
