"""The conductor: a pure engine that decides which worker runs which call, and the driver that does what it says."""

from __future__ import annotations
