"""Binding arguments: what Python would bind, in one order, at little cost."""

from __future__ import annotations

from typing import Any

import pytest

from gpucache.errors import BadSetting
from gpucache.flows.binding import Binder


def mixed(a: int, /, b: int, c: int = 3, *rest: int, d: int, e: int = 5, **more: int) -> tuple[Any, ...]:
    return a, b, c, rest, d, e, more


def plain(a: int, b: int = 2, c: int = 3) -> tuple[int, int, int]:
    return a, b, c


@pytest.mark.parametrize(
    ("args", "kwargs"), [((1,), {}), ((1, 9), {}), ((1, 2, 3), {}), ((1,), {"c": 3}), ((), {"c": 3, "a": 1, "b": 2})]
)
def test_values_are_in_the_signatures_order(args: tuple[int, ...], kwargs: dict[str, int]) -> None:
    """Every spelling gives the values that the function itself would see."""
    assert Binder(plain).bind(args, kwargs) == plain(*args, **kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((1, 2), {"d": 4}), ((1, 2, 3, 4, 5), {"d": 4, "z": 1, "y": 2}), ((1,), {"b": 2, "d": 0, "e": 1})],
)
def test_unbind_calls_the_function_with_what_was_bound(args: tuple[int, ...], kwargs: dict[str, int]) -> None:
    """bind and unbind are inverse for every kind of parameter."""
    binder = Binder(mixed)

    again_args, again_kwargs = binder.unbind(binder.bind(args, kwargs))

    assert mixed(*again_args, **again_kwargs) == mixed(*args, **kwargs)


def test_order_of_extra_keywords_does_not_count() -> None:
    """**kwargs is sorted by name."""
    binder = Binder(mixed)

    values = binder.bind((1, 2), {"d": 4, "z": 1, "y": 2})

    assert list(values[-1]) == ["y", "z"]


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2, 3, 4), {}), ((1,), {"a": 1}), ((1,), {"nope": 1})])
def test_wrong_arguments_are_pythons_type_error(args: tuple[int, ...], kwargs: dict[str, int]) -> None:
    """What Python would refuse is refused."""
    with pytest.raises(TypeError):
        Binder(plain).bind(args, kwargs)


def test_ignored_parameter_must_exist() -> None:
    """A misspelt ignore= is said, not passed over."""
    with pytest.raises(BadSetting, match="verbos"):
        Binder(plain, ("verbos",))
