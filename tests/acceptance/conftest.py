"""Processes for the acceptance tests: two servers that fork them, under two hash seeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pipeline_support import Server, World


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[Server, Server]]:
    """Two hash seeds."""
    both = Server("1"), Server("2")
    yield both
    for server in both:
        server.close()


@pytest.fixture
def world(tmp_path: Path, servers: tuple[Server, Server]) -> World:
    """One store, and projects beside it."""
    return World(tmp_path, servers)
