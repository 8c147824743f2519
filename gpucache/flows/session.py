"""What this process works with: one store, one cache of fingerprints, one runtime; made on first use, replaced by init().

The one place where gpucache keeps process-wide state. Everything else gets what it needs from a Session.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from gpucache.config import Config, Setting, cloud_over_http
from gpucache.fingerprint import Fingerprints
from gpucache.flows.surroundings import variables
from gpucache.ledger import Ledger
from gpucache.memo import native
from gpucache.residence import Residents
from gpucache.store import Store

if TYPE_CHECKING:
    from gpucache.flows.future import Future
    from gpucache.runtime.driver import Driver
    from gpucache.store.remote import Remote, Settings


class Session:
    """A store, a runtime and what was learned of the code, under one Config. Any thread may call any method.

    Args:
        in_worker: The remote is left to the driver: one that asks, one that sends, and keys in one process alone.
    """

    def __init__(self, config: Config, *, in_worker: bool = False) -> None:
        self.config = config
        native.allow(is_allowed=config.native_reads)
        self._in_worker = in_worker
        self.is_closed = False
        self._remote: Remote | None = None
        self.residents = Residents(config.resident_max_bytes)
        self.in_flight: dict[bytes, Future[Any]] = {}
        self.environment: Mapping[str, str] = {}  # what workers start with
        self.launches: set[concurrent.futures.Future[Any]] = set()
        self._fingerprints: dict[object, Fingerprints] = {}
        self._lock = threading.RLock()
        self._driver: Driver | None = None

    @cached_property
    def store(self) -> Store:
        """The store, opened on first use."""
        config = self.config
        return Store(
            config.store_path,
            inline_max_bytes=config.inline_max_bytes,
            durability=config.durability,  # type: ignore[arg-type]  # the store says what it takes
            max_bytes=config.store_max_bytes or None,
            outbox=self.wake_remote if config.remote and not config.remote_read_only else None,
        )

    @property
    def remote(self) -> Remote | None:
        """Where results are shared, opened on first use: a run whose answers are all here never gets here.

        Raises:
            BadSetting, ExtraMissing: It can't be had as the settings say.
        """
        config = self.config
        if not config.remote or self._in_worker:
            return None
        with self._lock:
            if self._remote is None:
                from gpucache.store.remote import open_remote

                self._remote = open_remote(self.store, remote_settings(config))
            return self._remote

    def wake_remote(self) -> None:
        """Results were published that others should have."""
        remote = None if self.config.remote_read_only else self.remote
        if remote is not None:
            remote.wake()

    @cached_property
    def ledger(self) -> Ledger:
        """The runs in the store."""
        return Ledger(self.store)

    def fingerprints(self, follow: object = "project") -> Fingerprints:
        """The fingerprints of functions, as far as `follow` says."""
        known = self._fingerprints.get(follow)
        if known is None:
            with self._lock:
                known = self._fingerprints.setdefault(
                    follow,
                    Fingerprints(follow=follow, strict=self.config.strict),  # type: ignore[arg-type]  # Options checked it
                )
        return known

    @property
    def driver(self) -> Driver:
        """The runtime, started on first use: an all-hit run never gets here."""
        with self._lock:
            if self._driver is None:
                from gpucache.runtime.driver import Driver

                self.environment = variables()
                self._driver = Driver(self.config)
            return self._driver

    @cached_property
    def worker_settings(self) -> bytes:
        """What workers get of the settings, ready to travel: the same store, wherever they stand; tasks within run there."""
        config = replace(self.config, runtime="inline", store=os.fspath(self.store.path))
        return json.dumps(config.settings()).encode()

    def close(self, *, at_once: bool = False) -> None:
        """Stop the runtime, close the store. Waits for what runs; `at_once`: ends it."""
        if self._remote is not None and not at_once:
            concurrent.futures.wait([*self.in_flight.values()])  # the driver knows nothing of those that ask the remote
        self.is_closed = True
        with self._lock:
            driver, self._driver = self._driver, None
        if driver is not None:
            if at_once:
                driver.kill()
            driver.shutdown()
        remote, self._remote = self._remote, None
        if remote is not None:
            remote.close(0.0 if at_once else self.config.remote_flush_s)
        if "store" in self.__dict__:
            self.store.close()


def remote_settings(config: Config) -> Settings:
    """What a Config says of the remote."""
    from gpucache.store.remote import Settings

    return Settings(
        config.remote,
        config.remote_signing_key,
        config.remote_trusted_keys,
        config.remote_timeout_s,
        config.remote_read_only,
        cloud_over_http(),
        config.remote_compress,
    )


class _Current:
    session: Session | None = None
    lock = threading.Lock()


def current_session() -> Session:
    """The session of this process; made from the environment if init() was not called."""
    session = _Current.session
    if session is None:
        with _Current.lock:
            session = _Current.session
            if session is None:
                session = _Current.session = Session(Config.from_env())
    return session


def init(
    runtime: str | None = None, store: str | os.PathLike[str] | None = None, **settings: Setting | Sequence[str] | None
) -> None:
    """Choose the runtime and the store for this process; what is not given comes from GPUCACHE_* or the defaults.

    Args:
        runtime: "local" (warm worker processes), "ray", "ray://host:port" or "inline" (this process only).
        store: The store's path.
        settings: Any other field of gpucache.Config.

    Calling it again with the same settings changes nothing; with others, the old session is shut down first.

    Raises:
        BadSetting: A name or value that is not understood; nothing changed.
    """
    path = os.fspath(store) if isinstance(store, os.PathLike) else store
    chosen: dict[str, Any] = {"runtime": runtime, "store": path, **settings}
    config = Config.from_env(**chosen)
    with _Current.lock:
        before = _Current.session
        if before is not None and before.config == config:
            return
        _Current.session = Session(config)
    if before is not None:
        before.close()


def shutdown(*, at_once: bool = False) -> None:
    """Stop the workers, close the store. The next call starts a new session.

    Args:
        at_once: End what runs, instead of waiting for it.
    """
    with _Current.lock:
        session, _Current.session = _Current.session, None
    if session is not None:
        session.close(at_once=at_once)


def adopt(settings: bytes) -> Session:
    """The session of a worker process: the current one if it uses the same store, else a new one that replaces it.

    Args:
        settings: A session's worker_settings.
    """
    config = _config(settings)
    session = _Current.session
    if session is None or (session.config.store != config.store and session.config.store_path != config.store_path):
        with _Current.lock:
            session = _Current.session = Session(config, in_worker=True)
    from gpucache.workers.holding import tell_residents  # here: whoever only reads the store has no use for it

    tell_residents(session.residents.held)
    return session


atexit.register(shutdown)


@lru_cache(maxsize=8)
def _config(settings: bytes) -> Config:
    return Config(**json.loads(settings))
