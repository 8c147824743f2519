from typing_extensions import Buffer

def hash128(data: bytes, seed: int = 0) -> bytes:
    """XXH3-128 with a seed, 16 bytes in canonical form."""

def tree_digest(data: Buffer, threads: int = 1) -> bytes:
    """The tree digest of a C-contiguous buffer, 16 bytes; the same for any number of threads (at most 64 are used).

    The GIL is released for 32 KiB and more: the caller sees to it that nobody writes to the buffer meanwhile.

    Raises:
        BufferError, ValueError: The buffer is not C-contiguous.
        TypeError: Not a buffer.
    """

def leaf_digests(data: Buffer) -> bytes:
    """The digests of data's leaves, 16 bytes each, one after the other: at least one."""

def root_digest(leaves: Buffer, size: int) -> bytes:
    """The root over the leaf digests of data of `size` bytes, more than one leaf.

    Raises:
        ValueError: Not a positive multiple of 16 bytes.
    """
