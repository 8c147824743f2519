class Words:
    """Words of 32 bits at the start of a file that is at least that long; every process that maps it sees the same.

    Unmapped with the object. Raises OSError if the file can't be mapped, IndexError for a word that is not there.
    """

    count: int

    def __init__(self, descriptor: int, count: int) -> None: ...
    def get(self, index: int) -> int: ...
    def set(self, index: int, value: int) -> None: ...
    def swap(self, index: int, before: int, after: int) -> bool:
        """Set a word if it is `before`; whether it was."""
    def wait(self, index: int, seen: int, timeout_s: float) -> None:
        """Sleep until someone wakes this word's waiter; not at all if the word is not `seen`. May return for no reason."""
    def wake(self, index: int) -> None:
        """Wake one waiter of a word."""
    def odd(self) -> list[int]:
        """The indices of the words that are odd."""
