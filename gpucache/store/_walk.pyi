from collections.abc import Iterator
from mmap import mmap

def problem_of(data: bytes | bytearray | memoryview | mmap, page_bytes: int) -> str | None:
    """What is wrong with LMDB's file, in words; None if LMDB may be given it. Nobody may write to it meanwhile.

    Looks at every page that the newest commit reaches, also at the lists of free pages: that each is met once, is what it says it is,
    keeps within itself, and that keys ascend. Values are not looked at: rows have their own checks. Releases the GIL.

    Args:
        data: The file's bytes; an empty one is sound, since LMDB makes it.
        page_bytes: LMDB's page, which is the machine's.

    Raises:
        MemoryError: No room for a byte for each page.
    """

def rows_of(data: bytes | bytearray | memoryview | mmap, page_bytes: int) -> Iterator[tuple[bytes, bytes, bytes]]:
    """What a damaged file still holds: database, key and row of every entry that the newest whole head leads to.

    Damaged pages, and entries that lead out of them, are passed over. A row may be none of LMDB's: its own check says so.
    Nobody may write to the file meanwhile.
    """
