"""torch tensors on the CPU as their raw elements; they come out copy-on-write, since torch has no read-only tensors.

The order of axes is kept where it has no gaps (transposed, channels_last), so such tensors are laid out without a copy. A
tensor that remembers how it was computed (a grad_fn) is refused: it would come back as a leaf, and training would silently stop
there. As torch does itself, .grad and hooks are not kept.

Also how pickle keeps tensors within other objects (models, optimizer states): storage by storage, out of band and shared as
they were, where torch itself copies each storage through torch.save.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from gpucache.codec.array import checked_shape
from gpucache.codec.kinds import Encoded, OpenPart
from gpucache.errors import NotStorable, RecordCorrupt

NAME = "tensor"
_DTYPES = frozenset({
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
    "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu",
})  # fmt: skip  # those whose raw bytes are whole elements: no quantised and no sub-byte types


class TensorForm(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A tensor without its elements: `axes` are its axes in the order in which they lie in memory, outermost first."""

    dtype: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    requires_grad: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(TensorForm).decode


def encode(value: Any) -> Encoded | None:
    """A plain dense tensor; None for any other kind.

    Raises:
        NotStorable: It remembers how it was computed.
    """
    found = parts_of(value)
    return None if found is None else Encoded(NAME, _encode(found[0]), (found[1],))


def parts_of(value: Any) -> tuple[TensorForm, Any] | None:
    """A tensor's form, and its elements as a flat buffer of bytes; None if they don't say everything about it."""
    import torch

    if type(value) is not torch.Tensor or value.layout != torch.strided or value.device.type != "cpu":
        return None
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype not in _DTYPES or value.is_nested or value.__dict__:
        return None
    refuse_graph(value)
    dense = value.detach().resolve_conj().resolve_neg()
    axes = _axes_in_memory(dense)
    form = TensorForm(dtype, tuple(value.shape), axes, value.requires_grad)
    flat = dense.permute(axes).contiguous().reshape(-1)
    return form, (flat.view(torch.uint8).numpy() if flat.numel() else b"")


def refuse_graph(value: Any) -> None:
    """Refuse a tensor that is the result of a differentiable computation.

    Raises:
        NotStorable: It is.
    """
    if not value.is_leaf:
        raise NotStorable("torch.Tensor", "it remembers how it was computed (grad_fn)", "return tensor.detach()")


def storage_address(value: Any) -> int:
    """What tensors that share memory have in common."""
    address: int = value.untyped_storage().data_ptr()
    return address


def decode(meta: bytes, open_part: OpenPart) -> Any:
    """The tensor, over private memory.

    Raises:
        RecordCorrupt: dtype, shape and size don't agree.
    """
    try:
        form = _decode(meta)
    except (ValueError, RecursionError) as problem:  # msgspec's own, and text that is not UTF-8
        raise RecordCorrupt(NAME, str(problem)) from problem
    return from_parts(form, open_part(0, True))


def from_parts(form: TensorForm, data: Any) -> Any:
    """The tensor of this form over these bytes, which must be the caller's own to write.

    Raises:
        RecordCorrupt: The bytes are not those of such a tensor.
    """
    import torch

    try:
        if form.dtype not in _DTYPES or sorted(form.axes) != list(range(len(form.shape))):
            raise ValueError("no such dtype or order of axes")
        dtype = getattr(torch, form.dtype)
        nbytes = memoryview(data).nbytes
        in_memory = tuple(form.shape[axis] for axis in form.axes)
        checked_shape(in_memory, dtype.itemsize, nbytes)
        flat = torch.frombuffer(data, dtype=torch.uint8).view(dtype) if nbytes else torch.empty(0, dtype=dtype)
        places = sorted(range(len(form.axes)), key=form.axes.__getitem__)
        return flat.reshape(in_memory).permute(places).requires_grad_(form.requires_grad)
    except (AttributeError, TypeError, ValueError, RuntimeError, OverflowError) as problem:
        raise RecordCorrupt(NAME, f"{type(problem).__name__}: {problem}") from problem


def _axes_in_memory(dense: Any) -> tuple[int, ...]:
    """The axes by falling stride if that leaves no gaps; else as they are, and the caller copies."""
    if dense.is_contiguous():
        return tuple(range(dense.dim()))
    strides = dense.stride()
    axes = tuple(sorted(range(dense.dim()), key=lambda axis: (-strides[axis], axis)))
    return axes if dense.permute(axes).is_contiguous() else tuple(range(dense.dim()))


# ---------------------------------------------------------------- within pickles


def storage_reducer() -> Callable[[Any], Any]:
    """How one pickle keeps torch's storages: call it with an object; NotImplemented if the object is none of torch's.

    One for each pickle: it knows which storages that pickle has already, since torch wraps a storage anew for each tensor.
    """
    seen: dict[int, Any] = {}

    def reduce(value: Any) -> Any:
        torch = sys.modules["torch"]
        if isinstance(value, torch.Tensor):
            refuse_graph(value)
            return NotImplemented
        if isinstance(value, torch.storage.TypedStorage):
            untyped = value._untyped_storage  # noqa: SLF001  # torch's own reduce reads it too; there is no other way to the bytes
            if untyped.device.type != "cpu":
                return NotImplemented
            return _typed_storage, (seen.setdefault(untyped._cdata, untyped), value.dtype)  # noqa: SLF001  # which storage it is
        if type(value) is torch.UntypedStorage and value.device.type == "cpu":
            flat = torch.empty(0, dtype=torch.uint8).set_(value)
            return _untyped_storage, (pickle.PickleBuffer(flat.numpy()) if value.nbytes() else b"",)
        return NotImplemented

    return reduce


def _typed_storage(untyped: Any, dtype: Any) -> Any:
    import torch

    return torch.storage.TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)


def _untyped_storage(data: Any) -> Any:
    import torch

    if not memoryview(data).nbytes:
        return torch.UntypedStorage(0)
    mine = bytearray(data) if memoryview(data).readonly else data
    return torch.frombuffer(mine, dtype=torch.uint8).untyped_storage()
