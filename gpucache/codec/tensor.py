"""torch tensors on the CPU as their raw elements; they come out copy-on-write, since torch has no read-only tensors."""

from __future__ import annotations

from typing import Any

import msgspec

from gpucache.codec.kinds import Encoded, OpenPart
from gpucache.errors import RecordCorrupt

NAME = "tensor"


class TensorForm(msgspec.Struct, frozen=True, array_like=True):
    """A tensor without its elements."""

    dtype: str
    shape: tuple[int, ...]
    requires_grad: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(TensorForm).decode


def encode(value: Any) -> Encoded | None:
    """A plain dense tensor; None for any other kind."""
    import torch

    if (
        type(value) is not torch.Tensor
        or value.layout != torch.strided
        or value.device.type != "cpu"
        or value.is_quantized
        or value.is_nested
        or not value.is_leaf
    ):
        return None
    form = TensorForm(str(value.dtype).removeprefix("torch."), tuple(value.shape), value.requires_grad)
    flat = value.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return Encoded(NAME, _encode(form), (flat.view(torch.uint8).numpy() if flat.numel() else b"",))


def decode(meta: bytes, open_part: OpenPart) -> Any:
    """The tensor, over private memory.

    Raises:
        RecordCorrupt: dtype, shape and size don't agree.
    """
    import torch

    try:
        form = _decode(meta)
        dtype = getattr(torch, form.dtype)
        if not isinstance(dtype, torch.dtype):
            raise TypeError(f"{form.dtype} is no dtype")
        data = open_part(0, True)
        flat = torch.frombuffer(data, dtype=dtype) if memoryview(data).nbytes else torch.empty(0, dtype=dtype)
        return flat.reshape(form.shape).requires_grad_(form.requires_grad)
    except (msgspec.DecodeError, AttributeError, TypeError, ValueError, RuntimeError) as problem:
        raise RecordCorrupt(NAME, f"{type(problem).__name__}: {problem}") from problem
