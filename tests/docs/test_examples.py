"""The examples of the pages under docs/ run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["placement", "residence", "telemetry"])
def test_examples_run(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As they stand there, one after another, each with something to say."""
    examples = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)

    assert examples
    for example in examples:
        exec(compile(example, f"docs/{page}.md", "exec"), {})
        assert capsys.readouterr().out.strip()
