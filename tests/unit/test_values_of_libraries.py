"""Objects of libraries that a module keeps as globals: their library's version counts, their caches do not, what they wrap does."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
import scipy.special
from call_support import ran
from scipy.special import expit
from sklearn.preprocessing import StandardScaler

import gpucache as gpc
from gpucache.fingerprint import Fingerprints
from gpucache.memo import ResultNotStored

SCALER = {"scaler": StandardScaler()}
WEIGHTS = [np.arange(3.0)]


def scaled(x: Any) -> Any:
    return SCALER["scaler"].fit_transform(x)


def weighted(x: Any) -> Any:
    return WEIGHTS[0] * x


def squashed(x: Any) -> Any:
    return expit(x)


def squashed_by_path(x: Any) -> Any:
    return scipy.special.expit(x)


@pytest.fixture(autouse=True)
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    gpc.init(runtime="inline", store=tmp_path / "store")
    yield
    gpc.shutdown()


@pytest.mark.parametrize(
    ("function", "package"),
    [(scaled, "scikit_learn"), (weighted, "numpy"), (squashed, "scipy"), (squashed_by_path, "scipy")],
)
def test_the_version_of_a_librarys_value_counts(function: Any, package: str) -> None:
    """A method of a global is code of its library, however deep the global lies in a table."""
    assert f"package:{package}" in Fingerprints().of(function).parts


def test_a_ufunc_is_known_by_the_path_to_it() -> None:
    """`from scipy.special import expit` and `scipy.special.expit` are one, whatever else has imported it."""
    parts = [Fingerprints().of(function).parts for function in (squashed, squashed_by_path)]
    assert [list(table)[1:] for table in parts] == [["package:scipy"]] * 2


def made_of(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    made = np.frompyfunc(function, 1, 1)

    @gpc.task
    def applied(x: float) -> float:
        return float(made(x))

    return applied


def test_a_ufunc_made_of_a_function_is_that() -> None:
    """np.frompyfunc() hides its function from everyone but the garbage collector."""
    one, same, other = made_of(lambda x: x + 1), made_of(lambda x: x + 1), made_of(lambda x: x + 2)

    assert one(1.0) == 2.0
    assert ran(lambda: same(1.0)) == (2.0, False)
    assert ran(lambda: other(1.0)) == (3.0, True)


TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader("pages"), extensions=["jinja2.ext.do"])


@gpc.task
def page(name: str) -> str:
    return TEMPLATES.get_template(name).render()


def test_templates_that_an_environment_has_compiled_do_not_count(tmp_path: Path) -> None:
    """jinja2 keeps them; their files count, and so do settings."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "a.html").write_text("one")

    assert ran(lambda: page("a.html")) == ("one", True)
    assert ran(lambda: page("a.html")) == ("one", False)
    (tmp_path / "pages" / "a.html").write_text("other")
    assert ran(lambda: page("a.html")) == ("other", True)


STATE: dict[str, object] = {}


@gpc.task
def keeps_a_lock(x: int) -> int:
    STATE["lock"] = threading.Lock()
    return x


@gpc.task
def fills(x: list[object]) -> int:
    x.append(threading.Lock())
    return 1


def test_a_body_that_leaves_something_without_identity_keeps_its_value() -> None:
    """The value is the caller's; it is not stored, and the next run says why beforehand."""
    STATE.clear()
    with pytest.warns(ResultNotStored, match="STATE"):
        assert keeps_a_lock(1) == 1
    STATE.clear()
    (reason,) = keeps_a_lock.explain(1).reasons
    assert reason.kind == "not-cacheable"
    assert "STATE" in str(reason)
    with pytest.raises(gpc.errors.ArgumentMutated, match="'x'"):
        fills([])


@gpc.task
def grows(x: int) -> int:
    STATE[str(x)] = x
    return len(STATE)


def test_what_was_not_stored_is_explained_in_the_run_and_before_the_next() -> None:
    """It never says again that such a call never ran; once it is stored, it hits and says nothing of it."""
    STATE.clear()

    @gpc.flow
    def flow() -> int:
        return grows(1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResultNotStored)
        first = flow.run()
    assert "its result was not stored: the task changed" in first.calls[0].reasons[-1]
    STATE.clear()
    assert "its last result was not stored" in str(flow.plan())
    STATE["1"] = 1
    assert grows(1) == 1
    assert grows.explain(1).hit
