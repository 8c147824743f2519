"""Explanations: the difference of two tables of parts, in words."""

from __future__ import annotations

from gpucache.memo import CodeChange, Explanation, Kind, Reason, differences

BEFORE = {
    "code:pipeline.embed": (b"1", "pipeline.py:10 embed"),
    "code:helpers.norm": (b"2", "helpers.py:12 norm"),
    "const:helpers.SCALE": (b"3", "2"),
    "package:numpy": (b"4", "numpy 2.4.6"),
    "arg:lr": (b"5", "0.001"),
    "arg:data": (b"6", "float32[10, 2]"),
}


def test_each_reason_says_what_changed_from_what_to_what() -> None:
    """Own code first, then helpers, constants, arguments, packages; each in one sentence."""
    after = {
        "code:pipeline.embed": (b"x", "pipeline.py:11 embed"),
        "code:helpers.norm": (b"x", "helpers.py:13 norm"),
        "const:helpers.SCALE": (b"x", "3"),
        "package:numpy": (b"x", "numpy 2.4.7"),
        "arg:lr": (b"x", "0.0003"),
        "arg:data": (b"x", "float32[10, 2]"),
    }

    reasons = differences(BEFORE, after, "code:pipeline.embed")

    assert [(reason.kind, str(reason)) for reason in reasons] == [
        (Kind.OWN_CODE, "pipeline.py:11 embed changed"),
        (Kind.HELPER_CODE, "helpers.py:13 norm changed"),
        (Kind.CONSTANT, "constant helpers.SCALE 2 -> 3"),
        (Kind.INPUT_CONTENT, "argument data: its content changed (float32[10, 2])"),
        (Kind.ARGUMENT, "argument lr 0.001 -> 0.0003"),
        (Kind.ENVIRONMENT, "numpy 2.4.6 -> 2.4.7"),
    ]


def test_new_and_gone_symbols_are_said() -> None:
    """A helper that is no longer reached, and one that is new."""
    after = {name: part for name, part in BEFORE.items() if name != "code:helpers.norm"}
    after["code:helpers.scale"] = (b"9", "helpers.py:20 scale")

    texts = [str(reason) for reason in differences(BEFORE, after)]

    assert texts == ["helpers.py:12 norm is gone", "helpers.py:20 scale is new"]


def test_equal_parts_have_no_reasons() -> None:
    """The text for people counts for nothing."""
    after = {name: (digest, "elsewhere") for name, (digest, _) in BEFORE.items()}

    assert differences(BEFORE, after) == ()


def test_a_notebook_shows_reasons_and_code() -> None:
    """As HTML, with what comes from the user escaped."""
    change = CodeChange("a.py:1 f", "def f():\n    return 1 < 2\n", None)
    told = Explanation("f", "00", False, (Reason(Kind.ARGUMENT, "x", "<1>", "2"),), code=(change,), notes=("a & b",))

    html = told._repr_html_()

    assert "argument x &lt;1&gt; -&gt; 2" in html
    assert "<pre>def f():\n    return 1 &lt; 2\n</pre>" in html
    assert "not there" in html
    assert "a &amp; b" in html
