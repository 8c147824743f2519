"""What a call is: its key, and the parts that the key was made of.

key = H("gpucache/1", task, code, version, environment, one digest per argument). The same parts, each with the text that
a person reads, are stored with the record; an explanation is the difference of two such tables, so the key and
the explanation can't disagree. Knows nothing of stores or of how functions are fingerprinted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gpucache.digests import combine, hash128

KEY_FORMAT = b"gpucache/1"

Parts = Mapping[str, tuple[bytes, str]]
"""Component -> (digest, text for people). The text is in no key."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A call's identity: 16 bytes. str() is hex. Equal keys are the same call, on any machine."""

    raw: bytes

    def __str__(self) -> str:
        return self.raw.hex()

    def __repr__(self) -> str:
        return f"Key({self.raw.hex()})"


@dataclass(frozen=True, slots=True)
class Identity:
    """A call's key and how to get the parts that it was made of (only a miss needs them)."""

    key: bytes
    parts: Callable[[], Parts]


def header_of(task: str, code: bytes, version: str | None, environment: bytes, names: Sequence[str]) -> bytes:
    """Everything of a key that is the same for all calls of a task; hashed once and kept.

    `names` are the parameters that count, in the signature's order: an argument's digest alone must not be
    mistaken for that of another parameter.
    """
    named = "" if version is None else f"={version}"
    return combine(KEY_FORMAT, task.encode(), code, named.encode(), environment, *(name.encode() for name in names))


def key_of(header: bytes, argument_digests: Sequence[bytes]) -> bytes:
    """The key, from a header and one 16-byte digest per parameter that counts: fixed widths, so no two splits agree."""
    return hash128(header + b"".join(argument_digests))
