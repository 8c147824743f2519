"""An explanation as a notebook shows it: the reasons, and the old code beside the new."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpucache.memo.explain import Explanation
    from gpucache.memo.sources import CodeChange


def explanation_html(explanation: Explanation) -> str:
    """A few paragraphs and, for code that changed, a table of two columns. No style sheet, no script."""
    verdict = "hit" if explanation.hit else "would run"
    parts = [f"<b>{escape(explanation.task)}</b>: {verdict}"]
    if explanation.reasons:
        parts.append("<ul>" + "".join(f"<li>{escape(str(reason))}</li>" for reason in explanation.reasons) + "</ul>")
    parts += [f"<p><i>{escape(note)}</i></p>" for note in explanation.notes]
    parts += [_beside(change) for change in explanation.code]
    return "".join(parts)


def _beside(change: CodeChange) -> str:
    before, after = (_code(text) for text in (change.before, change.after))
    return (
        f"<table><tr><th colspan=2>{escape(change.subject)}</th></tr><tr><th>before</th><th>now</th></tr>"
        f"<tr>{before}{after}</tr></table>"
    )


def _code(text: str | None) -> str:
    shown = "<i>not there</i>" if text is None else f"<pre>{escape(text)}</pre>" if text else "<i>not known</i>"
    return f'<td style="text-align:left;vertical-align:top">{shown}</td>'
