"""What holds for every test: a home and a store of its own, no network but loopback, the same examples each time."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_nvml import FakeNvml, build, under_pynvml
from hypothesis import settings

# Derandomised, so that a red test is red again; no database, so that nothing is written beside the tests.
# `pytest --hypothesis-profile=thorough` draws new examples, and more of them.
settings.register_profile("same-each-time", derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile("thorough", deadline=None, database=None, print_blob=True, max_examples=2000)
settings.load_profile("same-each-time")


class OutsideWorld(Exception):
    """A test tried to reach another machine."""


def _refuse_outside(event: str, arguments: tuple[object, ...]) -> None:
    if event != "socket.connect":
        return
    address = arguments[1]
    if not isinstance(address, tuple) or not isinstance(address[0], str):
        return  # AF_UNIX
    host = address[0]
    if host == "localhost":
        return
    try:
        is_here = ipaddress.ip_address(host).is_loopback or host == _own_address()
    except ValueError:
        is_here = False
    if not is_here:
        raise OutsideWorld(f"a test connects to {host}; tests reach this machine only")


def _own_address() -> str:
    """The address that Ray gives to a cluster on this machine (no packet is sent by connecting a datagram socket)."""
    return os.environ.get("RAY_NODE_IP_ADDRESS", "127.0.0.1")


sys.addaudithook(_refuse_outside)


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test touches the home, the store or the settings of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GPUCACHE_")]:
            patch.delenv(name)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("GPUCACHE_STORE", str(tmp_path_factory.mktemp("default") / "store"))
        patch.setenv("MPLBACKEND", "Agg")
        yield


@pytest.fixture(scope="session")
def fake_nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """csrc/fake_nvml, built once."""
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def fake_nvml(fake_nvml_library: Path, tmp_path: Path) -> Iterator[FakeNvml]:
    """A driver whose machine the test writes, under pynvml in this process and, by its environment, in others."""
    with under_pynvml(FakeNvml(fake_nvml_library, tmp_path)) as fake:
        yield fake


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked `gpu` is skipped, with the reason, where NVML shows no GPU."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    from gpucache.telemetry import read_fleet

    fleet = read_fleet()
    if not fleet.gpus:
        why = "; ".join(fleet.problems) or "NVML shows none"
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"no GPU here: {why}"))
