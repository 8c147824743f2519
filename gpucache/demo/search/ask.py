"""Ask questions, one after another, in one process: `python ask.py "first question" "second" ...`, or type them.

The first answer waits for a worker that imports torch and loads the model. The worker stays; further answers take the work alone.
"""

import argparse
import time

from pipeline import search

import gpucache as gpc


def answer(question: str) -> None:
    """Print what fits a question, and how long it took."""
    started = time.perf_counter()
    answers = search(question)
    print(f"{question} ({time.perf_counter() - started:.3f} s)")
    print("".join(f"    {line[:100]}\n" for line in answers))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("questions", nargs="*")
    arguments.add_argument("--store", help="default: GPUCACHE_STORE")
    given = arguments.parse_args()
    gpc.init(store=given.store)
    for question in given.questions:
        answer(question)
    while not given.questions and (question := input("? ").strip()):
        answer(question)
