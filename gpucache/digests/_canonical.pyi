from gpucache.digests.canonical import Symbols

def encode(value: object, *, symbols: Symbols | None = None, name: str = "") -> bytes:
    """The canonical encoding of a value: bytes that are equal exactly where values are the same.

    Raises:
        NotIdentifiable: It, or something within it, has no identity; the error's path starts with `name`.
    """

def encode_at(value: object, symbols: Symbols | None, depth: int) -> bytes:
    """The encoding of a value that lies at this depth; errors don't say where. For canonical.Walker."""

def value_digest(value: object, *, symbols: Symbols | None = None, name: str = "") -> bytes:
    """The identity of a value: 16 bytes, the tree digest of its encoding. A value out of the store is not hashed again.

    Any thread. Arrays and tensors must not be written to meanwhile: the GIL is released while they are hashed.

    Raises:
        NotIdentifiable: As encode() does.
    """

def combine(*parts: bytes) -> bytes:
    """One digest of several byte strings, 16 bytes; each is prefixed by its length: ("ab", "c") and ("a", "bc") differ."""

def key_of_scalars(header: bytes, values: tuple[object, ...], counted: tuple[int, ...]) -> bytes | None:
    """hash128(header + the value digest of each counted value), in one step; None if one of them is no plain scalar.

    Scalars: exact int, float, bool, str, bytes and None. They are not looked into, nothing of them can be code.
    """
