"""Models of pydantic, msgspec and attrs, and partials: fields count, and the class; a round trip and another process do not."""

from __future__ import annotations

import functools
import operator
import pickle
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gpucache import register_type
from gpucache.digests import canonical, value_digest
from gpucache.fingerprint import Fingerprints

try:
    import attrs
    import pydantic
except ImportError:
    pytest.skip("pydantic and attrs are not installed", allow_module_level=True)


class Struct(msgspec.Struct):
    x: int
    y: list[int] = []


class FrozenStruct(msgspec.Struct, frozen=True, array_like=True):
    x: int
    y: list[int] = []


@attrs.define
class Attrs:
    x: int
    y: list[int] = attrs.Factory(list)


@attrs.frozen
class FrozenAttrs:
    x: int
    y: list[int] = attrs.Factory(list)


@attrs.define(slots=False)
class OpenAttrs:
    x: int
    y: list[int] = attrs.Factory(list)


class Model(pydantic.BaseModel):
    x: int
    y: list[int] = []
    _hidden: int = 0

    def hide(self, value: int) -> Any:
        self._hidden = value
        return self


class OtherModel(Model):
    pass


class Open(pydantic.BaseModel, extra="allow"):
    x: int


@pydantic.dataclasses.dataclass
class Checked:
    x: int
    y: list[int] = pydantic.Field(default_factory=list)


VALUES: dict[str, Callable[[], object]] = {
    "struct": lambda: Struct(1),
    "struct, other": lambda: Struct(2),
    "struct, deep": lambda: Struct(1, [1]),
    "frozen struct": lambda: FrozenStruct(1),
    "attrs": lambda: Attrs(1),
    "attrs, other": lambda: Attrs(2),
    "attrs, deep": lambda: Attrs(1, [1]),
    "frozen attrs": lambda: FrozenAttrs(1),
    "open attrs": lambda: OpenAttrs(1),
    "model": lambda: Model(x=1),
    "model, other": lambda: Model(x=2),
    "model, deep": lambda: Model(x=1, y=[1]),
    "model, hidden": lambda: Model(x=1).hide(5),
    "model, default given": lambda: Model(x=1, y=[]),  # model_dump(exclude_unset=True) sees it
    "other model": lambda: OtherModel(x=1),
    "open model": lambda: Open(x=1),
    "open model, more": lambda: Open(x=1, z=2),
    "checked": lambda: Checked(1),
    "checked, other": lambda: Checked(2),
    "partial": lambda: functools.partial(operator.add, 1),
    "partial, other argument": lambda: functools.partial(operator.add, 2),
    "partial, other function": lambda: functools.partial(operator.mul, 1),
    "partial, keyword": lambda: functools.partial(int, base=2),
    "partial, other keyword": lambda: functools.partial(int, base=3),
    "partial of a partial": lambda: functools.partial(functools.partial(pow, 2), 3),
    "caller": lambda: operator.methodcaller("f", 1),
    "caller, other": lambda: operator.methodcaller("f", 2),
}


@pytest.mark.parametrize("symbols", [None, Fingerprints()], ids=["by name", "by code"])
def test_each_is_another_value_and_survives(symbols: Any) -> None:
    """No two agree; a copy and a round trip agree; so does the oracle; by classes' names, and by their code."""
    digests = {name: value_digest(make(), symbols=symbols) for name, make in VALUES.items()}

    assert len(set(digests.values())) == len(VALUES)
    for name, make in VALUES.items():
        assert value_digest(make(), symbols=symbols) == digests[name], name
        assert value_digest(pickle.loads(pickle.dumps(make())), symbols=symbols) == digests[name], name
        assert canonical.value_digest(make(), symbols=symbols) == digests[name], name


def test_using_a_model_does_not_change_it() -> None:
    """Schemas, validators and caches that a library makes at first use are not the value, nor the class."""
    prints, model = Fingerprints(), Model(x=1)
    before = value_digest(model, symbols=prints)

    Model.model_json_schema()
    model.model_dump_json()
    Model.model_rebuild(force=True)
    hash(FrozenStruct(1).x), Struct.__signature__, repr(model)

    assert value_digest(model, symbols=prints) == before == value_digest(model, symbols=Fingerprints())


def test_a_type_of_ones_own_is_one_decorator() -> None:
    """What gpucache would refuse, its owner explains; the class counts beside it."""

    class Handle:
        def __init__(self, name: str) -> None:
            self.name, self.stream = name, sys.stdout

    @register_type(Handle)
    def parts(handle: Handle) -> object:
        return handle.name

    prints = Fingerprints()
    one, again, other = (value_digest([Handle(name)], symbols=prints) for name in ("a", "a", "b"))

    assert one == again != other
