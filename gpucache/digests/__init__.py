"""What a value is: a digest of its content, the same in every process and on every machine."""

from __future__ import annotations

from gpucache.digests import of_standard as _of_standard  # noqa: F401  # registers its encoders
from gpucache.digests._canonical import combine, encode, key_of_scalars, value_digest
from gpucache.digests._kernel import hash128, tree_digest
from gpucache.digests.canonical import Symbols
from gpucache.digests.core import ALGORITHM, DIGEST_BYTES, Digest
from gpucache.digests.encoders import register_type
from gpucache.digests.file import Dir, File, file_digest, is_settled, stamp_of
from gpucache.digests.known import remember, remembered
from gpucache.digests.tree import tree_digest_reference

__all__ = [
    "ALGORITHM",
    "DIGEST_BYTES",
    "Digest",
    "Dir",
    "File",
    "Symbols",
    "combine",
    "encode",
    "file_digest",
    "hash128",
    "is_settled",
    "key_of_scalars",
    "register_type",
    "remember",
    "remembered",
    "stamp_of",
    "tree_digest",
    "tree_digest_reference",
    "value_digest",
]
