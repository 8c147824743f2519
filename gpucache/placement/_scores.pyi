"""The compiled chooser, typed."""

from gpucache.placement.books import Books
from gpucache.placement.model import Demand
from gpucache.placement.policies import Policy

CODES: tuple[str, ...]
"""The policies that it knows, by name."""

class Chooser:
    """As choice.Chooser, for the policies in CODES: equal places, in microseconds."""

    def __init__(self, books: Books, policy: Policy, code: str) -> None: ...
    def choose(self, demand: Demand, decision: int) -> tuple[int, tuple[int, ...]] | None:
        """Node and GPUs, both by index; None if the demand fits nowhere. Changes nothing."""
