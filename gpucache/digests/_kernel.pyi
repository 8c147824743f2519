from typing_extensions import Buffer

def hash128(data: bytes, seed: int = 0) -> bytes:
    """XXH3-128 with a seed, 16 bytes in canonical form."""

def tree_digest(data: Buffer) -> bytes:
    """The tree digest of a C-contiguous buffer of bytes; the GIL is released for more than 32 KiB."""

def leaf_digests(data: Buffer, first: int, last: int, leaves: Buffer) -> None:
    """Write the digests of leaves [first, last) of data into `leaves`, 16 bytes each. Raises ValueError out of range."""

def root_digest(leaves: Buffer, size: int) -> bytes:
    """The root over leaf digests of data of `size` bytes."""
