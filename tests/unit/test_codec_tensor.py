"""torch tensors: elements, type and order of axes come back, private to who reads them; memory that is shared stays so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from codec_support import read, round_trip

from gpucache import codec
from gpucache.codec.tensor import _DTYPES
from gpucache.digests import value_digest
from gpucache.errors import NotStorable

torch = pytest.importorskip("torch")


def _values() -> dict[str, Any]:
    return {
        "one axis": torch.arange(3),
        "no axis": torch.tensor(2.5),
        "no elements": torch.zeros(2, 0, 3),
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "transposed": torch.randn(3, 4).t(),
        "not contiguous": torch.randn(10)[::2],
        "expanded": torch.zeros(3).expand(4, 3),
        "parameter-like": torch.randn(2, requires_grad=True),
        "conjugated": torch.randn(3, dtype=torch.complex64).conj(),
        "negated": torch.randn(3, dtype=torch.complex64).conj().imag,
        "axes of one": torch.randn(1, 3, 1, 5),
    }


@pytest.mark.parametrize("name", _values())
def test_a_tensor_comes_back(name: str) -> None:
    """Alone and within a list; type, shape, elements and requires_grad; its identity; without pickle."""
    value = _values()[name]

    encoded = codec.encode(value)
    alone, (within,) = read(encoded, allow_pickle=False), round_trip([value], allow_pickle=False)

    assert (encoded.codec, encoded.pickled) == ("tensor", False)
    for back in (alone, within):
        assert type(back) is torch.Tensor
        assert (back.dtype, back.shape, back.requires_grad) == (value.dtype, value.shape, value.requires_grad)
        assert torch.equal(back, value)
        assert value_digest(back) == value_digest(value)


@pytest.mark.parametrize("dtype", sorted(_DTYPES))
def test_every_element_type_comes_back_by_its_bits(dtype: str) -> None:
    """bfloat16 and the float8s too, which numpy does not have."""
    bits = torch.arange(1 if dtype == "bool" else 64).to(torch.uint8)
    value = bits.view(getattr(torch, dtype))

    back = round_trip(value, allow_pickle=False)

    assert back.dtype == value.dtype
    assert torch.equal(back.view(torch.uint8), bits)


@pytest.mark.parametrize("name", ["one axis", "channels last", "transposed"])
def test_a_tensor_without_gaps_is_laid_out_without_a_copy_and_keeps_its_axes(name: str) -> None:
    """The part is the tensor's own memory; the order of its axes in memory comes back."""
    value = _values()[name]

    encoded = codec.encode(value)

    assert encoded.parts[0].__array_interface__["data"][0] == value.data_ptr()
    assert read(encoded).stride() == value.stride()


def test_a_tensor_is_read_without_a_copy_and_private() -> None:
    """It lies in the memory that the store gave for writing."""
    encoded = codec.encode(torch.arange(4))
    asked: list[bool] = []
    memory = bytearray(memoryview(encoded.parts[0]))

    def open_part(index: int, writable: bool) -> bytearray:
        asked.append(writable)
        return memory

    back = codec.decode("tensor", encoded.meta, open_part, allow_pickle=False)
    back[0] = 9

    assert asked == [True]
    assert memory[0] == 9


@pytest.mark.parametrize(
    "wrap", [lambda value: value, lambda value: [value], lambda value: {"a": {1: object}, "t": value}]
)
def test_a_tensor_that_remembers_how_it_was_computed_is_refused(wrap: Any) -> None:
    """It would come back as a leaf, and a backward pass through it would end there without a word."""
    with pytest.raises(NotStorable, match=r"grad_fn.*detach"):
        codec.encode(wrap(torch.randn(2, requires_grad=True) * 2))


@pytest.mark.parametrize("wrap", [list, lambda tensors: {"class": object, "tensors": list(tensors)}])
def test_tensors_that_share_memory_do_so_again(wrap: Any) -> None:
    """Writing to one shows in the other, as it did."""
    base = torch.zeros(10_000)

    encoded = codec.encode(wrap((base, base[5:])))
    back = read(encoded)
    first, second = back if isinstance(back, list) else back["tensors"]
    first[5] = 7

    assert encoded.nbytes < 2 * 40_000
    assert second[0] == 7


def test_one_tensor_in_two_places_is_one_again() -> None:
    """And needs no pickle for it."""
    tensor = torch.zeros(3)

    first, second = round_trip([tensor, tensor], allow_pickle=False)

    assert first is second


def test_a_model_is_laid_out_by_its_storages() -> None:
    """Out of band, one part for each weight, without torch.save's copies; tied weights stay tied."""
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 64))
    model[1].weight = model[0].weight

    encoded = codec.encode(model)
    back = read(encoded)

    assert len(encoded.parts) == 2
    assert back[1].weight is back[0].weight
    assert isinstance(back[0].weight, torch.nn.Parameter)
    assert torch.equal(back(torch.ones(64)), model(torch.ones(64)))
    assert value_digest(back) == value_digest(model)


def test_an_optimizer_and_a_state_dict_come_back() -> None:
    """What a checkpoint is made of."""
    model = torch.nn.Linear(50, 50)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(50)).sum().backward()
    optimizer.step()

    state, moments = round_trip((model.state_dict(), optimizer.state_dict()))

    assert type(state) is type(model.state_dict())
    assert torch.equal(state["weight"], model.weight)
    assert torch.equal(moments["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nn.Parameter(torch.ones(3)),
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.zeros(3, dtype=torch.float32, device="meta"),
        lambda: torch.Size([1, 2]),
        lambda: torch.float32,
    ],
)
def test_other_things_of_torch_are_left_to_pickle(make: Any) -> None:
    """They come back as what they were."""
    value = make()

    encoded = codec.encode(value)

    assert encoded.codec == "python"
    assert type(read(encoded)) is type(value)


def test_empty_storages_within_objects_come_back() -> None:
    """No bytes are no part."""
    back = round_trip({"class": object, "tensor": torch.zeros(0, 3)})

    assert back["tensor"].shape == (0, 3)


def test_a_tensor_over_an_array_is_its_elements() -> None:
    """Memory that belongs to numpy is laid out like any other."""
    array = np.arange(4.0)

    assert torch.equal(round_trip(torch.from_numpy(array)), torch.from_numpy(array))
