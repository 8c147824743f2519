"""Objects: what their class and symbols say of them, what users say of them, and what is refused, with the path to it."""

from __future__ import annotations

import functools
import threading
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from digest_values import Colour, MyList, Point

from gpucache import errors
from gpucache.digests import canonical, encode, register_type, value_digest


class Handle:
    def __init__(self, number: int) -> None:
        self.number = number
        self.lock = threading.Lock()


class Node:
    def __init__(self, child: object = None) -> None:
        self.child = child


class Setter:
    """Takes part in the sixth item of what __reduce_ex__ may return."""

    def __init__(self, how: Callable[..., None]) -> None:
        self.how = how

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Setter, (), {"a": 1}, None, None, self.how


def set_one(value: object, state: object) -> None: ...


def set_other(value: object, state: object) -> None: ...


class Code:
    """Symbols that know each class and function by a text."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts

    def token(self, obj: object) -> bytes | None:
        text = self.texts.get(getattr(obj, "__name__", ""))
        return None if text is None else text.encode()


def local_class(constant: int) -> type:
    class Local:
        def get(self) -> int:
            return constant

    return Local


def test_an_edited_class_makes_its_instances_others() -> None:
    """Symbols say what the class is; its instances, members and subclasses of arrays count with it."""
    for value in (Point(1), [Point(1)], Colour.RED, Point, {"k": Point}, MyList([1]), functools.partial(Point, 1)):
        found = {
            value_digest(value, symbols=Code(Point=text, Colour=text, MyList=text))
            for text in ("before", "after", "before")
        }
        assert len(found) == 2


def test_code_is_what_symbols_say() -> None:
    """A function that has no name of its own is no problem for those who follow its code."""
    first, second = (types.FunctionType((lambda: 1).__code__, {}, name) for name in ("one", "two"))

    with pytest.raises(errors.NotIdentifiable, match="does not lead to it"):
        value_digest(first)
    assert value_digest(first, symbols=Code(one="1")) == value_digest(second, symbols=Code(two="1"))
    assert value_digest(first, symbols=Code(one="1")) != value_digest(first, symbols=Code(one="2"))


def test_a_text_is_not_the_code_that_it_names() -> None:
    """Tokens and values can't be taken for each other."""
    values = ["Point", b"Point", Point, "digest_values.Point"]

    assert len({value_digest(value) for value in values} | {value_digest(Point, symbols=Code(Point="Point"))}) == 5


def test_names_are_not_joined() -> None:
    """Class c of module a.b is not class b.c of module a."""
    one, other = (type("c", (), {}) for _ in range(2))
    one.__module__, one.__qualname__ = "a.b", "c"
    other.__module__, other.__qualname__ = "a", "b.c"
    modules = {"a.b": types.SimpleNamespace(c=one), "a": types.SimpleNamespace(b=types.SimpleNamespace(c=other))}

    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(__import__("sys").modules, name, module)
        assert value_digest(one) != value_digest(other)
        assert value_digest(one()) != value_digest(other())


def test_a_local_class_is_refused_by_name_and_taken_by_symbols() -> None:
    """Two classes of one factory have one name; without who knows their code they can't be told apart."""
    value = local_class(1)()

    with pytest.raises(errors.NotIdentifiable, match="does not lead to it"):
        value_digest(value)
    assert value_digest(value, symbols=Code(Local="1")) != value_digest(value, symbols=Code(Local="2"))


def test_a_weak_reference_is_what_it_leads_to() -> None:
    """One that leads to an equal value is equal; one whose value is gone leads to None."""
    one, same, other = Setter(set_one), Setter(set_one), Setter(set_other)

    assert value_digest(weakref.ref(one)) == value_digest(weakref.ref(same)) != value_digest(weakref.ref(other))
    assert value_digest(weakref.WeakSet([one])) == value_digest(weakref.WeakSet([same]))
    assert value_digest(weakref.WeakValueDictionary(a=one)) != value_digest(weakref.WeakValueDictionary(a=other))
    gone = weakref.ref(Setter(set_one))
    assert value_digest(gone) != value_digest(weakref.ref(one))


def test_how_state_is_set_counts() -> None:
    """The sixth item of a reduce is part of what makes the object."""
    assert value_digest(Setter(set_one)) != value_digest(Setter(set_other))


def test_a_registered_type_is_what_its_parts_are() -> None:
    """What gpucache can't take apart, its owner can; the class still counts."""

    class Mesh(Handle): ...

    class Grid(Handle): ...

    for kind in (Mesh, Grid):
        register_type(kind)(lambda value: value.number)
    symbols = Code(Mesh="mesh", Grid="grid")

    digests = [
        value_digest(kind(number), symbols=symbols) for kind, number in ((Mesh, 1), (Mesh, 1), (Mesh, 2), (Grid, 1))
    ]

    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize("kind", [int, list, "text"])
def test_what_a_built_in_value_is_can_not_be_redefined(kind: Any) -> None:
    """Half of an encoder is in C; a rule that it would not follow is refused, not ignored."""
    with pytest.raises(TypeError, match="class of your own"):
        register_type(kind)


REFUSED: dict[str, tuple[Callable[[], object], str, str]] = {
    "lock": (threading.Lock, "batch", "can't be taken apart"),
    "lock in a list": (lambda: {"labels": [0, threading.Lock()]}, "batch['labels'][1]", "can't be taken apart"),
    "lock as an attribute": (lambda: [Handle(1)], "batch[0].lock", "can't be taken apart"),
    "lock in an array": (
        lambda: np.array([[1, threading.Lock()]], dtype=object),
        "batch[(0, 1)]",
        "can't be taken apart",
    ),
    "lock as a key's value": (lambda: {(1, 2): Handle(1)}, "batch[(1, 2)].lock", "can't be taken apart"),
    "generator": (lambda: list("ab") and (x for x in "ab"), "batch", "read only once"),
    "iterator": (lambda: {"a": iter([1])}, "batch['a']", "read only once"),
    "zip": (lambda: zip("a", "b", strict=True), "batch", "read only once"),
    "lambda": (lambda: [lambda: 1], "batch[0]", "does not lead to it"),
    "open file": (lambda: open(__file__), "batch", "can't be taken apart"),
    "lock in a subclass of dict": (
        lambda: OrderedDict(labels=[0, threading.Lock()]),
        "batch['labels'][1]",
        "taken apart",
    ),
    "code": (lambda: test_how_state_is_set_counts.__code__, "batch", "can't be taken apart"),
    "in a set": (lambda: {frozenset([lambda: 1])}, "batch{...}{...}", "does not lead to it"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_identity_is_refused_with_the_way_to_it(what: str) -> None:
    """The error says where in the argument the value is, and what to do; the oracle says the same."""
    make, path, why = REFUSED[what]
    value = make()

    with pytest.raises(errors.NotIdentifiable, match=why) as refused:
        encode(value, name="batch")
    assert refused.value.path == path
    with pytest.raises(errors.NotIdentifiable) as again:
        canonical.encode(value, name="batch")
    assert str(again.value) == str(refused.value)
    getattr(value, "close", lambda: None)()


def cyclic_list() -> list[Any]:
    made: list[Any] = [1]
    made.append([made])
    return made


def cyclic_object() -> Node:
    made = Node()
    made.child = {"up": made}
    return made


def cyclic_array() -> np.ndarray[Any, Any]:
    made = np.empty(1, dtype=object)
    made[0] = [made]
    return made


@pytest.mark.parametrize("make", [cyclic_list, cyclic_object, cyclic_array])
def test_a_cycle_is_refused(make: Callable[[], object]) -> None:
    """It ends, and says so, through lists, objects and arrays."""
    with pytest.raises(errors.NotIdentifiable, match="contains itself"):
        value_digest(make(), name="x")


def nested(levels: int, wrap: Callable[[object], object]) -> object:
    made: object = 1
    for _ in range(levels):
        made = wrap(made)
    return made


def test_depth_is_bounded_and_never_answers_wrongly() -> None:
    """250 levels are told apart; one more is refused, as are objects that Python's stack can't follow."""
    deepest = [
        nested(250, lambda inner: [inner]),
        nested(249, lambda inner: [inner]),
        nested(250, lambda inner: (inner,)),
    ]

    assert len({value_digest(value) for value in deepest}) == 3
    for value in (
        nested(251, lambda inner: [inner]),
        nested(260, Node),
        nested(100_000, lambda inner: {"next": inner}),
    ):
        with pytest.raises(errors.NotIdentifiable, match=r"deeper than|too deeply") as caught:
            value_digest(value, name="tree")
        assert str(caught.value).startswith("tree")
        assert len(str(caught.value)) < 400
