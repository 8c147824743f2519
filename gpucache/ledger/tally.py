"""How the calls of runs ended, counted on while someone watches: a number that only grows, as a counter must."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from gpucache.ledger.ledger import Ledger

LATEST = 200
"""Among so many of the newest runs those in progress are sought when the count begins."""
LATE_S = 60.0
"""A run's row may be written so long after the time that it bears."""


class Tally:
    """Calls by state, of all runs that were in progress when this was made, and of those that began since.

    Args:
        all_runs: Of all runs that there are: for who began to watch before there was a ledger.
    """

    def __init__(self, ledger: Ledger, *, all_runs: bool = False) -> None:
        self._ledger = ledger
        self._total: Counter[str] = Counter()
        latest = [] if all_runs else list(islice(ledger.runs(), LATEST))
        running = [run for run in latest if run.status == "running"]
        self._since = min((run.started_at for run in (*running, *latest[:1])), default=0.0)
        self._counted = {run.id for run in latest if run.status != "running"}

    def counts(self) -> Counter[str]:
        """Now; of a run in progress what is written of it."""
        going: Counter[str] = Counter()
        runs = list(self._ledger.runs(since=self._since))
        for run in runs:
            if run.id in self._counted:
                continue
            calls = Counter(call.state for call in self._ledger.calls(run.id))
            if run.status == "running":
                going += calls
            else:
                self._total += calls
                self._counted.add(run.id)
        # So that a watcher of months looks at the last minutes alone.
        oldest = min((run.started_at for run in runs if run.id not in self._counted or run is runs[0]), default=0.0)
        self._since = max(self._since, oldest - LATE_S)
        self._counted &= {run.id for run in runs}
        return self._total + going
