"""What a command line names: files that the program may read, directories it may list, modules it runs, variables."""

from __future__ import annotations

import ast
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from gpucache.fingerprint.path_texts import may_name
from gpucache.memo.named_files import files_named, text_of, texts_in

_WORDS_AT_MOST = 1000
_SCRIPT_BYTES_AT_MOST = 64 << 10


class Named(NamedTuple):
    """Paths and names, each as the program would find it."""

    files: tuple[str, ...]
    directories: tuple[str, ...]
    modules: tuple[str, ...]
    variables: tuple[str, ...]


_NOTHING = Named((), (), (), ())


def named_in(command: object, directory: object = None) -> Named:
    """What a command names.

    Args:
        command: A text as a shell gets it, or a sequence of texts or paths.
        directory: Where it runs; None: here.
    """
    words = list(dict.fromkeys(_words(command)))[:_WORDS_AT_MOST]
    base = text_of(directory) or ""
    paths = [os.path.join(base, word) for word in words if word and "\0" not in word]
    here = os.getcwd()
    return Named(
        tuple(path for path in paths if os.path.isfile(path)),
        # Of the directory that it runs in, and those above it, most names are none of its business.
        tuple(path for path in paths if os.path.isdir(path) and not _is_above(path, here)),
        tuple(after for word, after in pairwise(words) if word == "-m"),
        tuple(dict.fromkeys(name for word in words for name in _VARIABLE.findall(word))),
    )


def named_in_script(path: str, directory: object = None) -> Named:
    """What the lines of a shell's script name; nothing for any other file."""
    try:
        with open(path, "rb") as opened:
            raw = opened.read(_SCRIPT_BYTES_AT_MOST)
    except OSError:
        return _NOTHING
    first = raw.partition(b"\n")[0]
    is_script = path.endswith((".sh", ".bash")) or (first.startswith(b"#!") and b"sh" in first)
    return named_in(raw.decode("utf-8", "replace"), directory) if is_script else _NOTHING


def named_in_python(files: Iterable[str], directory: object = None) -> Named:
    """What literals of a Python program name: files that are there, and variables where it looks into its environment."""
    base = text_of(directory) or ""
    texts: dict[str, None] = {}
    variables: dict[str, None] = {}
    for file in files:
        literals, has_environment = _literals_of(file)
        texts.update(dict.fromkeys(literals))
        if has_environment:
            variables.update(dict.fromkeys(filter(_IS_VARIABLE.fullmatch, literals)))
    return Named(tuple(files_named((), [os.path.join(base, text) for text in texts])), (), (), tuple(variables))


def _literals_of(file: str) -> tuple[list[str], bool]:
    try:
        with open(file, "rb") as opened:
            raw = opened.read()
        tree = ast.parse(raw)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return [], False
    found = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [text for text in found if may_name(text)], b"environ" in raw or b"getenv" in raw


def _words(command: object) -> Iterator[str]:
    text = text_of(command)
    for word in texts_in((command,)) if text is None else _split(text):
        yield word
        if word != text and any(letter in _OF_A_SHELL for letter in word):  # sh -c "cat x"
            yield from _words(word)
        name, equals, value = word.partition("=")  # --from=x, if=x
        if equals and name:
            yield value


def _split(text: str) -> list[str]:
    """The words of a text, as a shell would tell them apart, and what stands between its signs: `$(cat x)`, `<x`."""
    try:
        words = shlex.split(text)
    except ValueError:  # a quotation that is not closed
        words = text.split()
    return [*words, *re.split(f"[{re.escape(_OF_A_SHELL)}]+", text)]


_OF_A_SHELL = " \t\n\"'`$(){}<>|&;"
_IS_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]+")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)")


def _is_above(path: str, here: str) -> bool:
    return os.path.join(here, "").startswith(os.path.join(os.path.abspath(path), ""))
