"""Tensors: dtype, layout, shape, elements, requires_grad and grad count; device, strides and storage don't."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch", reason="torch is not installed (extra [torch])")

pytestmark = pytest.mark.filterwarnings("ignore")  # torch warns of what it deprecates; here it is only identified

from gpucache import errors  # noqa: E402
from gpucache.digests import encode, value_digest  # noqa: E402

T = torch.arange(6.0).reshape(2, 3)
COO = torch.sparse_coo_tensor([[0, 0, 1], [1, 1, 0]], [1.0, 2.0, 3.0], (2, 2), check_invariants=True)


class Sub(torch.Tensor):
    pass


def set_on(value: Any, name: str, attribute: object) -> Any:
    setattr(value, name, attribute)
    return value


def with_grad() -> Any:
    made = torch.nn.Parameter(T.clone())
    (made * 2).sum().backward()
    return made


DIFFERENT: dict[str, Callable[[], object]] = {
    "plain": lambda: T,
    "shape": lambda: T.reshape(3, 2),
    "float16": lambda: torch.zeros(2, dtype=torch.float16),
    "bfloat16": lambda: torch.zeros(2, dtype=torch.bfloat16),
    "int16": lambda: torch.zeros(2, dtype=torch.int16),
    "zero": lambda: torch.zeros(2, dtype=torch.float32),
    "minus zero": lambda: -torch.zeros(2, dtype=torch.float32),
    "empty 0x3": lambda: torch.empty(0, 3),
    "empty 3x0": lambda: torch.empty(3, 0),
    "requires grad": lambda: T.clone().requires_grad_(),
    "parameter": lambda: torch.nn.Parameter(T.clone()),
    "parameter with grad": with_grad,
    "array": lambda: T.numpy(),
    "sparse": lambda: COO,
    "csr": lambda: COO.to_dense().to_sparse_csr(),
    "dense": lambda: COO.to_dense(),
    "subclass": lambda: T.clone().as_subclass(Sub),
    "attribute": lambda: set_on(T.clone(), "unit", "m"),
    "size": lambda: T.size(),
    "dtype": lambda: torch.float32,
    "dtype as text": lambda: "torch.float32",
    "device": lambda: torch.device("cpu"),
    "layout": lambda: torch.strided,
    "generator": lambda: torch.Generator().manual_seed(1),
    "function in C": lambda: torch.relu,
    "function": lambda: torch.nn.functional.relu,
    "in a list": lambda: [T],
}


def test_tensors_that_differ_have_different_digests() -> None:
    """In anything but where they lie."""
    assert len({value_digest(make()) for make in DIFFERENT.values()}) == len(DIFFERENT)


SAME: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "strides": (lambda: T.t().contiguous().t(), lambda: T),
    "view": (lambda: T[:, 1:], lambda: T[:, 1:].clone()),
    "one element, strided": (lambda: T[:1, ::3], lambda: torch.tensor([[0.0]])),
    "lazy conjugate": (lambda: torch.tensor([1 + 2j]).conj(), lambda: torch.tensor([1 - 2j])),
    "lazy negative": (lambda: torch.tensor([1 + 2j]).conj().imag, lambda: torch.tensor([-2.0])),
    "expanded": (lambda: torch.ones(1).expand(3), lambda: torch.ones(3)),
    "duplicate entries": (lambda: COO, lambda: COO.coalesce()),
}


@pytest.mark.parametrize("what", SAME)
def test_how_a_tensor_lies_does_not_count(what: str) -> None:
    """A needless difference is a needless rerun."""
    one, other = (make() for make in SAME[what])

    assert value_digest(one) == value_digest(other)
    assert encode([one]) == encode([other])


def test_a_module_that_was_away_is_the_same() -> None:
    """Its weights, buffers, structure and mode are what it is."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.BatchNorm1d(4))
    again = pickle.loads(pickle.dumps(module))
    first = value_digest(module)

    assert value_digest(again) == first
    assert value_digest(again.state_dict()) == value_digest(module.state_dict())
    assert value_digest(again.eval()) != first
    again.train()
    again[0].bias.data[0] += 1
    assert value_digest(again) != first


@pytest.mark.parametrize(
    "make", [lambda: torch.empty(2, device="meta"), lambda: torch.quantize_per_tensor(T, 0.1, 0, torch.qint8)]
)
def test_tensors_without_plain_elements_are_refused(make: Callable[[], object]) -> None:
    """By name, with the path to them."""
    with pytest.raises(errors.NotIdentifiable, match="no plain elements") as refused:
        value_digest([make()], name="batch")

    assert refused.value.path == "batch[0]"
