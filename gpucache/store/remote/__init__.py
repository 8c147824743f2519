"""What several machines and people share: results in an object store, asked at a miss, believed when checked."""

from __future__ import annotations

from gpucache.store.remote.counts import Counts, totals, waiting
from gpucache.store.remote.patience import Patience
from gpucache.store.remote.signing import SigningKey
from gpucache.store.remote.tier import Remote, Settings, open_remote, probe

__all__ = ["Counts", "Patience", "Remote", "Settings", "SigningKey", "open_remote", "probe", "totals", "waiting"]
