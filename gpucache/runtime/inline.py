"""Calls that run in this process, in the thread that submits them: the runtime without workers."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Mapping
from typing import Any


def run_here(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], *, retries: int
) -> concurrent.futures.Future[Any]:
    """Run a call now, again if it raises and may be tried again; a future that is done."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    future.set_running_or_notify_cancel()
    for left in range(retries, -1, -1):
        try:
            result = fn(*args, **kwargs)
        except Exception as raised:  # noqa: BLE001  # an edge: the call is the user's; interruptions pass
            if not left:
                future.set_exception(raised)
        else:
            future.set_result(result)
            break
    return future
