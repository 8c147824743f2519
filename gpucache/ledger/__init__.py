"""What happened: runs, their calls, where their code came from."""

from __future__ import annotations

from gpucache.ledger.ledger import CallLog, Ledger, new_run_id
from gpucache.ledger.provenance import code_facts, machine_facts
from gpucache.ledger.rows import CallRow, RunRow
from gpucache.ledger.tally import Tally

__all__ = ["CallLog", "CallRow", "Ledger", "RunRow", "Tally", "code_facts", "machine_facts", "new_run_id"]
