"""torch: tensors by dtype, shape and elements; device, strides and storage do not count."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import torch

from gpucache.digests._kernel import tree_digest
from gpucache.digests.canonical import Walker, by_digest


def encoders() -> dict[type, Callable[[Walker, Any], None]]:
    """The encoders of torch's classes."""
    names: tuple[type, ...] = (torch.dtype, torch.device, torch.layout, torch.memory_format)
    return {torch.Tensor: _tensor, torch.nn.Parameter: _tensor, torch.Generator: _generator, **dict.fromkeys(names, _named)}


@by_digest
def _tensor(walker: Walker, value: torch.Tensor) -> None:
    if value.is_quantized or value.is_nested or value.layout not in (torch.strided, torch.sparse_coo):
        raise walker.refusal(value, f"tensors of layout {value.layout} are not supported", "pass its dense parts")
    kind, grad = type(value).__name__.encode(), b"g" if value.requires_grad else b""
    walker.tag(b"E", kind, str(value.dtype).encode(), struct.pack(f"<{value.ndim}Q", *value.shape), grad)
    plain = value.detach()
    if plain.layout == torch.sparse_coo:
        whole = plain.coalesce()
        walker.child(".indices()", whole.indices())
        walker.child(".values()", whole.values())
        return
    dense = plain.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    walker.out += tree_digest(dense.view(torch.uint8).numpy() if dense.numel() else b"")


def _named(walker: Walker, value: object) -> None:
    walker.tag(b"e", str(value).encode())


def _generator(walker: Walker, value: torch.Generator) -> None:
    walker.tag(b"e", b"Generator")
    walker.child(".get_state()", value.get_state())
