"""What the words of a command line name: files that the program may read, directories that it may list, modules that it runs."""

from __future__ import annotations

import os
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
    )


def _words(command: object) -> Iterator[str]:
    text = text_of(command)
    for word in texts_in((command,)) if text is None else _split(text):
        yield word
        if text is None and any(letter.isspace() for letter in word):  # sh -c "cat x"
            yield from _words(word)
        name, equals, value = word.partition("=")  # --from=x, if=x
        if equals and name:
            yield value


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quotation that is not closed
        return text.split()


def _is_above(path: str, here: str) -> bool:
    return os.path.join(here, "").startswith(os.path.join(os.path.abspath(path), ""))
