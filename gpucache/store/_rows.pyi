from collections.abc import Callable
from typing import Any

CHECK_BYTES: int

def checked(name: bytes, key: bytes, body: bytes) -> bytes:
    """A row: the XXH3-64 of name, key and body, one after the other, big-endian, and then the body."""

def body_of(name: bytes, key: bytes, row: bytes) -> bytes | None:
    """A row without its check; None if that is not the right one."""

def keep_forever(value: object) -> None:
    """Never free an object, not even as the interpreter ends."""

def try_to_enter() -> bool:
    """One thread more is within LMDB; False if the gate is closed, since another thread is about to fork (gate.py)."""

def leave_again() -> None:
    """It is not any more."""

def set_gate(closed: bool, nobody_inside: bool = False) -> int:
    """Open the gate or close it; how many are inside. `nobody_inside`: in a forked child, where the parent's threads are not."""

class Getter:
    """get() of one of LMDB's databases: the common case here, each in a transaction of its own, and everything else by slowly(key).

    Any thread may call, holding the GIL.

    Args:
        name: What the checks of its rows are made with.
        slowly: Called where no environment is set, where LMDB raises, and for a row whose check is not the right one.
    """

    def __init__(self, name: bytes, slowly: Callable[[bytes], bytes | None]) -> None: ...
    def set(self, begin: Callable[..., Any] | None, database: Any) -> None:
        """Look up in this database by this environment's begin(). None: in none, since this process has not opened it."""
    def get(self, key: bytes) -> bytes | None:
        """The body of a row, or None if there is none. Raises what slowly() raises."""

class Kept:
    """What was made of rows in this process, kept as long as the rows are the same; each row is looked up each time.

    Any thread may call, holding the GIL.

    Args:
        row_of: The row of a key.
        answer_of: (what is made of a row, whether to keep it).
        row_max_bytes: What is made of longer rows is not kept.
        max_count: So many are kept; one more, and all go.
    """

    def __init__(
        self,
        row_of: Callable[[bytes], bytes | None],
        answer_of: Callable[[bytes], tuple[Any, bool]],
        row_max_bytes: int,
        max_count: int,
    ) -> None: ...
    def get(self, key: bytes) -> Any:
        """What answer_of made of the row of this key; None if there is no row. Raises what the two functions raise."""
    def clear(self) -> None:
        """Make everything again."""
