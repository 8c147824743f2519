"""Where a task fits: nodes and GPUs, demands and places. Pure; usable without Ray and without a GPU."""

from __future__ import annotations

from gpucache.placement import policies
from gpucache.placement.cluster import Cluster
from gpucache.placement.model import Demand, Gpu, Node, Placement, Room
from gpucache.placement.snapshot import Snapshot

__all__ = ["Cluster", "Demand", "Gpu", "Node", "Placement", "Room", "Snapshot", "policies"]
