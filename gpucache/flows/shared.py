"""Asking others for a call's answer: what a miss does before its body runs. What they have is in the store then."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import TYPE_CHECKING

from gpucache.memo import fetch, lookup

if TYPE_CHECKING:
    from gpucache.flows.identify import Called
    from gpucache.flows.session import Session
    from gpucache.store.remote import Patience


def fetched(session: Session, called: Called) -> bool:
    """Whether others had the answer. Waits for it, within the time limit."""
    remote = session.remote
    if remote is None or not remote.is_asked:
        return False
    return remote.wait(lambda patience: fetch(remote, session.store, called.key, called.root, patience))


def bring(session: Session, called: Called) -> None:
    """Have the answer here, if anybody knows it: for who explains calls without making them."""
    if session.config.remote:
        record = lookup(session.store, called.key, called.root)
        if record is None or not session.store.has(record.result):
            fetched(session, called)


async def fetched_async(session: Session, called: Called) -> bool:
    """fetched() that lets others of the event loop go on."""
    return await asyncio.wrap_future(begin(session, called))


def begin(session: Session, called: Called) -> concurrent.futures.Future[bool]:
    """fetched() as a future, so that many calls are asked for at the same time."""
    remote = session.remote
    if remote is None or not remote.is_asked:
        nobody: concurrent.futures.Future[bool] = concurrent.futures.Future()
        nobody.set_result(False)
        return nobody

    def ask(patience: Patience) -> bool:
        return fetch(remote, session.store, called.key, called.root, patience)

    return remote.begin(ask)
