"""Objects by name in S3, GCS, Azure or a directory, each request within a time limit. The home of obstore.

What obstore really does (0.12, tried): its calls let go of Python's lock and can't be interrupted, so nobody's main thread makes
one; a request's own limit holds, retries come on top of it; a missing bucket is a missing object by type and tells itself in
the text alone; S3 stores read AWS_* themselves, but plain http must be allowed in the options; in a forked child a call never
comes back; a message may quote a URL with a secret in its query.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from gpucache.errors import BadSetting, ExtraMissing, RecordCorrupt, RemoteUnreachable

KINDS = "s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///directory"
CHUNK_BYTES = 2**20
BULK_S = 3600.0
"""One request for a large object may take so long in all, as long as bytes arrive."""

_QUERY = re.compile(r"\?[^\s\"']+")
_MESSAGE = re.compile(r'message: "([^"]+)"')


class Bucket:
    """One place for objects. Any thread may call any method; a forked child must not.

    Args:
        url: As KINDS says, or memory:/// for tests.
        timeout_s: What a request may take, retries included; for large objects, until the next bytes arrive.
        over_http: The endpoint that the environment names is plain http, on purpose.

    Raises:
        BadSetting: No such kind of place, or obstore can't make one of it.
        ExtraMissing: obstore is not installed.
    """

    def __init__(self, url: str, *, timeout_s: float, over_http: bool = False) -> None:
        self.url = url
        try:
            import obstore
            from obstore.store import from_url
        except ImportError as problem:
            raise ExtraMissing("remote", "obstore", "remote") from problem
        self._api: Any = obstore
        self._errors = (obstore.exceptions.BaseError, OSError)
        try:
            if url.startswith(("file:", "memory:")):
                self._quick = self._bulk = from_url(url, mkdir=True) if url.startswith("file:") else from_url(url)
                return
            # A retry begins in the first third and takes two thirds at most, so that all of it keeps to the limit.
            retry: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=timeout_s / 3)}
            client = {"connect_timeout": _seconds(min(5.0, timeout_s * 2 / 3)), "allow_http": over_http}
            quick: Any = {**client, "timeout": _seconds(timeout_s * 2 / 3)}
            bulk: Any = {**client, "timeout": _seconds(BULK_S), "read_timeout": _seconds(timeout_s)}
            self._quick = from_url(url, client_options=quick, retry_config=retry)
            self._bulk = from_url(url, client_options=bulk, retry_config=retry)
        except (*self._errors, ValueError) as problem:
            raise BadSetting("remote", url, f"{KINDS} ({_told(problem)})") from problem

    def get(self, name: str, *, most_bytes: int) -> Any | None:
        """An object's bytes, or None if there is none.

        Raises:
            RemoteUnreachable: It did not answer, or refused.
            RecordCorrupt: It is larger than most_bytes.
        """

        def get() -> Any:
            found = self._api.get(self._quick, name)
            if found.meta["size"] > most_bytes:
                raise RecordCorrupt(f"remote {name}", f"it has {found.meta['size']:,} bytes, at most {most_bytes:,}")
            return found.bytes()

        return self._asked(get)

    def stream(
        self, name: str, check: Callable[[int], object], each: Callable[[bytes], object], *, until: float
    ) -> bool:
        """Give an object's bytes to `each`, in order; False if there is none.

        Args:
            check: Is told the object's size before, and may raise RecordCorrupt.
            until: By time.monotonic().

        Raises:
            RemoteUnreachable: It did not answer, refused, or was not done in time.
            RecordCorrupt: `check`, or `each`, said so.
        """

        def stream() -> bool:
            found = self._api.get(self._bulk, name)
            nbytes = int(found.meta["size"])
            check(nbytes)
            for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                each(chunk)
                if time.monotonic() > until:
                    raise RemoteUnreachable(self.url, f"{nbytes:,} bytes took too long")
            return True

        return bool(self._asked(stream))

    def size(self, name: str) -> int | None:
        """An object's size; None if there is none. Raises RemoteUnreachable."""
        found = self._asked(lambda: self._api.head(self._quick, name))
        return None if found is None else int(found["size"])

    def put(self, name: str, data: Any) -> None:
        """Write an object, in place of the one there; whole, or not at all. Raises RemoteUnreachable."""
        large = memoryview(data).nbytes > 2 * CHUNK_BYTES * 8

        def put() -> bool:
            self._api.put(self._bulk if large else self._quick, name, data)
            return True

        if self._asked(put) is None:
            raise RemoteUnreachable(self.url, "there is no such bucket")

    def _asked(self, ask: Callable[[], Any]) -> Any | None:
        try:
            return ask()
        except (RemoteUnreachable, RecordCorrupt):
            raise
        except FileNotFoundError as problem:
            if "NoSuchBucket" in str(problem):  # a missing bucket would look like a bucket that never has anything
                raise RemoteUnreachable(self.url, "there is no such bucket") from problem
            return None
        except self._errors as problem:
            raise RemoteUnreachable(self.url, _told(problem)) from problem


def _seconds(limit_s: float) -> str:
    return f"{max(1, round(limit_s * 1000))}ms"


def _told(problem: Exception) -> str:
    """An error of obstore's in a few words, without what may be secret.

    Its first line is `Generic S3 error: Error performing GET <url> in 2 ms, after 2 retries, ... - <what>`, and below it quotes
    what its parts said, of which the reason of a failed connection is worth telling.
    """
    whole = str(problem)
    if "kind: Timeout" in whole or "TimedOut" in whole:
        return "no answer in time"
    line = whole.partition("\n")[0] or type(problem).__name__
    _, performed, what = line.partition(" - ") if "Error performing" in line else ("", "", "")
    found = _MESSAGE.search(whole)
    reason = f" ({found[1]})" if found else ""
    return (_QUERY.sub("?...", (what if performed else line).partition(": <")[0]) + reason)[:300]
