"""What a notebook shows of a plan and a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import gpucache as gpc
from gpucache.flows import html


@gpc.task(name="<double>")
def double(x: int) -> int:
    return 2 * x


@gpc.flow
def doubles(count: int) -> int:
    return sum(double(x) for x in range(count))


@pytest.fixture(autouse=True)
def _store(tmp_path: Path) -> Iterator[None]:
    gpc.init(store=tmp_path / "store", runtime="inline")
    yield
    gpc.shutdown()


def test_a_plan_is_a_table_of_its_calls() -> None:
    """Each call with its verdict and why; names are escaped; where all hits it says so."""
    shown = doubles.plan(2)._repr_html_()
    assert "<b>doubles</b>: 1 of 1 calls would run, or may" in shown
    assert '<td style="text-align:left">&lt;double&gt;</td>' in shown
    assert "the rest depends on the result of &lt;double&gt;" in shown

    doubles(2)

    assert "<b>doubles</b>: everything hits" in doubles.plan(2)._repr_html_()


def test_a_run_is_a_table_of_its_calls() -> None:
    """Each call with how it ended, and what the run was."""
    doubles(1)
    run = doubles.run(2)

    shown = run._repr_html_()

    assert f"run {run.id}" in shown
    assert ">hit<" in shown
    assert ">ran<" in shown


def test_a_long_run_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook keeps what it shows: so many rows, and how many more there are."""
    monkeypatch.setattr(html, "MOST_ROWS", 3)

    shown = doubles.run(5)._repr_html_()

    assert shown.count("&lt;double&gt;") == 3
    assert "and 2 more" in shown


def test_nothing_is_no_table() -> None:
    """A flow that calls no task says so."""
    assert "no calls" in doubles.plan(0)._repr_html_()
