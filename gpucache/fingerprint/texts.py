"""A module by its text, and by the texts of all that it imports: what counts where code is known by a name alone.

Nothing is imported or run to find out, so the names may come from anywhere. Coarser than a walk over what lives (an edit to
any function of these files counts), and used only where no function that could be walked leads to the code.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
from collections.abc import Iterator
from typing import NamedTuple

from gpucache.digests import combine, hash128
from gpucache.fingerprint.distributions import distribution_of
from gpucache.fingerprint.normal_form import form_of
from gpucache.fingerprint.project import Project, file_of_module, name_of_file

_KEPT_AT_MOST = 2000


class Text(NamedTuple):
    """What a file of code says.

    Attributes:
        digest: Of its normal form; of its bytes if it is no Python.
        imports: Every module that it may import, by its full name, and every name that may be one.
    """

    digest: bytes
    imports: tuple[str, ...]


def text_of(path: str) -> Text:
    """What the file says now.

    Raises:
        OSError: It can't be read.
    """
    status = os.stat(path)
    return _text_of(path, status.st_mtime_ns, status.st_size)


class Texts(NamedTuple):
    """A file of code with all of the project's that it imports, and that those import.

    Attributes:
        digest: Of their texts and of the versions of the packages that they import; the same on any machine.
        files: Their paths.
    """

    digest: bytes
    files: tuple[str, ...]


def texts_from(path: str, project: Project) -> Texts:
    """What the file, and all that it imports, say now.

    Raises:
        OSError: The file can't be read. One that it imports, and that can't be read, counts as such.
    """
    texts, packages, waiting = {path: text_of(path)}, set[str](), [path]
    while waiting:
        for name in texts[waiting.pop()].imports:
            if not project.has_module(name.partition(".")[0]):
                packages.add(name.partition(".")[0])
                continue
            file = file_of_module(name)
            if file is None or file.endswith(os.sep) or file in texts or not project.has_file(file):
                continue
            try:
                texts[file] = text_of(file)
            except OSError:
                texts[file] = Text(b"unreadable", ())
            waiting.append(file)
    found = sorted((name_of_file(file), text.digest) for file, text in texts.items())
    versions = sorted(filter(None, map(distribution_of, packages)))
    return Texts(combine(b"texts", repr(found).encode(), repr(versions).encode()), tuple(texts))


@functools.lru_cache(maxsize=_KEPT_AT_MOST)
def _text_of(path: str, mtime_ns: int, size_bytes: int) -> Text:  # keys of the cache
    with open(path, "rb") as opened:
        raw = opened.read()
    try:
        tree = ast.parse(importlib.util.decode_source(raw))
        body = ast.FunctionDef(name="module", args=_NO_ARGUMENTS, body=tree.body, decorator_list=[])
        form = form_of(body)
        digest = hash128(b"".join(form.pieces) + repr(form.refs).encode())
        return Text(digest, tuple(dict.fromkeys(_imports(tree, _package_of(path)))))
    except (SyntaxError, ValueError, RecursionError):
        return Text(hash128(raw), ())


_NO_ARGUMENTS = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])


def _package_of(path: str) -> list[str]:
    """The package that a file's relative imports begin in."""
    steps = name_of_file(path).split(".")
    return steps if os.path.basename(path) == "__init__.py" else steps[:-1]


def _imports(tree: ast.Module, package: list[str]) -> Iterator[str]:
    """Packages come before what lies in them: importing a.b runs a."""
    yield from _with_parents(".".join(package))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from _with_parents(base)
            yield from (f"{base}.{alias.name}" for alias in node.names if base and alias.name != "*")


def _with_parents(name: str) -> Iterator[str]:
    steps = name.split(".") if name else []
    yield from (".".join(steps[:count]) for count in range(1, len(steps) + 1))
