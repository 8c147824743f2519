"""What to say to whoever writes into an array that came out of the store."""

from __future__ import annotations

ADVICE = "arrays from gpucache's store are read-only: x = x + 1, or x.copy()"


def explain_read_only(problem: ValueError) -> None:
    """Add a note to numpy's bare "output array is read-only", "assignment destination is read-only" and their kin; once."""
    if str(problem).endswith("is read-only") and ADVICE not in getattr(problem, "__notes__", ()):
        problem.add_note(ADVICE)
