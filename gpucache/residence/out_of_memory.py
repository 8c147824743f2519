"""Whether a failure says that memory ran out, on whatever library's word. By name: no library is imported to ask."""

from __future__ import annotations

from gpucache.errors import RemoteError


def is_out_of_memory(problem: BaseException | None) -> bool:
    """MemoryError, the OutOfMemoryError of torch or cupy, or a RuntimeError that speaks of it; also one from a worker."""
    if isinstance(problem, RemoteError):
        name, text = problem.type_name, problem.text
    else:
        name, text = type(problem).__name__, str(problem)
    if name.rpartition(".")[2] in ("OutOfMemoryError", "MemoryError") or isinstance(problem, MemoryError):
        return True
    return "out of memory" in text.lower() and (isinstance(problem, RuntimeError) or name.endswith("RuntimeError"))
