"""torch: tensors by dtype, layout, shape, requires_grad, grad and elements; device, strides and storage do not count.

A gradient counts, since an optimizer's step reads it. The graph behind a tensor does not: it is how the tensor was made.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from gpucache.digests import of_objects
from gpucache.digests._kernel import tree_digest
from gpucache.digests.encoders import Encoder, by_digest

if TYPE_CHECKING:
    from gpucache.digests.canonical import Walker

_COMPRESSED = {
    getattr(torch, f"sparse_{name}"): (f"{outer}_indices", f"{inner}_indices")
    for name, outer, inner in (
        ("csr", "crow", "col"),
        ("csc", "ccol", "row"),
        ("bsr", "crow", "col"),
        ("bsc", "ccol", "row"),
    )
    if hasattr(torch, f"sparse_{name}")
}


def encoders() -> tuple[Mapping[type, Encoder], Mapping[type, Encoder]]:
    """The encoders of torch's classes, and of those with their subclasses."""
    named: tuple[type, ...] = (torch.dtype, torch.device, torch.layout, torch.memory_format)
    return {torch.Generator: _generator, **dict.fromkeys(named, _named)}, {torch.Tensor: _tensor}


@by_digest
def _tensor(walker: Walker, value: torch.Tensor) -> None:
    if value.is_quantized or getattr(value, "is_nested", False) or value.device.type == "meta":
        raise walker.refusal(value, "a quantized, nested or meta tensor has no plain elements", "pass its dense parts")
    if type(value) is torch.nn.Parameter:  # its class says that it is one, its attributes what it is
        walker.tag(b"X", b"Parameter")
    else:
        walker.begin(b"Tensor", value, type(value) if type(value) is torch.Tensor else torch.Tensor)
    named = getattr(value, "names", ())  # gone in torch 2.13
    names = repr(named).encode() if any(named) else b""
    shape = struct.pack(f"<{value.ndim}Q", *value.shape)
    walker.tag(b"", str(value.dtype).encode(), shape, b"g" if value.requires_grad else b"", names)
    if type(value) in {torch.Tensor, torch.nn.Parameter}:
        of_objects.state(walker, dict(value.__dict__))
    walker.child(".grad", value.grad if value.is_leaf else None)
    with torch.no_grad():
        _elements(walker, value.detach().rename(None) if names else value.detach())


def _elements(walker: Walker, plain: torch.Tensor) -> None:
    if plain.layout == torch.strided:
        dense = plain.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        dense = dense.as_strided(
            (dense.numel(),), (1,)
        )  # one element counts as contiguous whatever its stride, but not to view()
        walker.tag(b"d", tree_digest(dense.view(torch.uint8).numpy() if dense.numel() else b""))
    elif plain.layout == torch.sparse_coo:
        whole = plain.coalesce()
        walker.tag(b"s", struct.pack("<Q", plain.sparse_dim()))
        walker.child(".indices()", whole.indices())
        walker.child(".values()", whole.values())
    elif plain.layout in _COMPRESSED:
        walker.tag(b"c", str(plain.layout).encode())
        for part in (*_COMPRESSED[plain.layout], "values"):
            walker.child(f".{part}()", getattr(plain, part)())
    else:
        raise walker.refusal(plain, f"tensors of layout {plain.layout} are not supported", "pass its dense parts")


def _named(walker: Walker, value: object) -> None:
    walker.begin(f"torch.{type(value).__name__}".encode(), value)
    walker.tag(b"", str(value).encode())


def _generator(walker: Walker, value: Any) -> None:
    walker.begin(b"Generator", value)
    walker.tag(b"", str(value.device).encode())
    walker.child(".get_state()", value.get_state())
