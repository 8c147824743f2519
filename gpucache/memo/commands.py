"""What a command line names: files that the program may read, directories it may list, modules it runs, variables."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from gpucache.memo.named_files import text_of, texts_in

_WORDS_AT_MOST = 1000


class Named(NamedTuple):
    """Paths and names, each as the program would find it."""

    files: tuple[str, ...]
    directories: tuple[str, ...]
    modules: tuple[str, ...]
    variables: tuple[str, ...]


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
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)")


def _is_above(path: str, here: str) -> bool:
    return os.path.join(here, "").startswith(os.path.join(os.path.abspath(path), ""))
