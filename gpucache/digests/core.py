"""A digest: 16 bytes and the name of the algorithm that gave them. Knows nothing of values."""

from __future__ import annotations

import re
from dataclasses import dataclass

ALGORITHM = "xxh3-128"
DIGEST_BYTES = 16

_TEXT = re.compile(rf"(?:{ALGORITHM}:)?([0-9a-fA-F]{{{2 * DIGEST_BYTES}}})")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """The identity of a value. str() is "xxh3-128:<hex>"; equal digests, equal values (against accident, not malice)."""

    algorithm: str
    raw: bytes

    @property
    def hex(self) -> str:
        """The raw bytes as hex."""
        return self.raw.hex()

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.raw.hex()}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The digest that str() gave; the algorithm may be left out.

        Raises:
            ValueError: Not "<algorithm>:<32 hex digits>" of an algorithm that we know.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not a digest; expected {ALGORITHM}: and {2 * DIGEST_BYTES} hex digits")
        return cls(ALGORITHM, bytes.fromhex(found[1]))
