"""Group commit: who would have to wait for the writers' turn leaves its change in a box, and whoever has the turn makes it too.

One transaction, and its way to the disk, then serve everyone who came while the last one was on its way. A box is a word in a
shared page (whose state it is, with a ticket that no other use of the box has) and room for a change in the same file:

    free -> waiting -> committed -> done       by who has the turn; `done` once it is as safe as its owner asked for
               |  `--> refused                 what the change had read is no longer so: its owner runs it again
             nudged                            the turn is free and nobody takes it: wake up and lead

Kills: an owner's box is locked while it lives, and a box of nobody is emptied by the next who has the turn. Who is killed with the
turn wakes nobody, so waiters look by themselves after LOST_S. A change that was committed by one who was killed before he
said so is refused by the next (it reads otherwise now) and run again by its owner: changes must bear that, see Rows.update.
LMDB's own way to group commits, committing without sync and syncing later, is none: pages and meta pages then reach the disk
in any order, and a power cut in between leaves a damaged index (FACTS; environment.py).
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import xxhash

from gpucache.store._words import Words
from gpucache.store.draft import make
from gpucache.store.flight import Flight, hold, is_held_elsewhere, let_go

BOXES = 128
IDLE_MAX = 16
"""So many boxes a process keeps for its next changes: a lock that is held already costs no call to the kernel."""

PAGE_BYTES, BOX_BYTES = 4096, 65536
USUAL_BYTES = 2048  # most changes are shorter
LOST_S = 0.01

FREE, WAITING, COMMITTED, NUDGED, DONE, REFUSED = 0, 1, 2, 3, 4, 6  # odd: a change waits to be made
_STATES, _TICKET = 7, 8
_WORD = 2**32

_head = struct.Struct(
    "<8sIIB"
)  # check of what follows; ticket; bytes of the change; whether it must be safe from power cuts


class Served(NamedTuple):
    """A box whose change was made, and what its word was."""

    box: int
    word: int
    is_durable: bool


class Queue:
    """The boxes of one store, as one process has them open. Any thread may call any method."""

    def __init__(self, path: Path, locks: Path) -> None:
        """Open the boxes; made if there are none. Raises OSError if there is no room for them.

        Args:
            path: Their file.
            locks: The file in which the turn to write is held.
        """
        self._descriptor = self._locks = -1
        self._held: set[int] = set()  # boxes whose lock this process has; and those of them that no thread uses
        self._idle: list[int] = []
        self._choosing = threading.Lock()
        self._locks = os.open(locks, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._descriptor, 0, PAGE_BYTES)  # a hole would be SIGBUS on a full disk
        mapped = os.open(
            path, os.O_RDWR | os.O_CLOEXEC
        )  # of its own: a mapping keeps the locks of its descriptor alive
        try:
            self.words = Words(mapped, BOXES)
        finally:
            os.close(mapped)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Give everything back. Also for a forked child: through the descriptor that it inherits it would hold its parent's boxes."""
        for descriptor in (self._descriptor, self._locks):
            if descriptor >= 0:
                with suppress(
                    OSError
                ):  # EIO, say: Linux has given it back all the same, and the other one is left to close
                    os.close(descriptor)
        self._descriptor = self._locks = -1

    def take(self, turn: Flight) -> bool:
        """Have the turn, if it is free: most often it is seen to be taken in a tenth of what trying takes."""
        return not turn.is_taken(self._locks) and turn.__enter__()

    # ---------------------------------------------------------------- who waits

    def leave(self, change: bytes, *, is_durable: bool) -> Box | None:
        """Leave a change for whoever has the turn; None if it is too large or all boxes are taken."""
        if _head.size + len(change) > BOX_BYTES:
            return None
        number = self._choose()
        if number is None:
            return None
        box = Box(self, number)
        try:
            if self._fill(number, change, is_durable=is_durable):
                return box
        except BaseException:
            box.give_back()
            raise
        box.give_back()
        return None

    def _choose(self) -> int | None:
        """A box for one change: one that this process has and does not use, else one of nobody."""
        with self._choosing:
            if self._idle:
                return self._idle.pop()
            start = os.getpid()  # others begin elsewhere
            for step in range(BOXES):
                number = (start + step) % BOXES
                if number not in self._held and hold(self._descriptor, number):
                    self._held.add(number)
                    return number
        return None

    def _fill(self, number: int, change: bytes, *, is_durable: bool) -> bool:
        """Put a change into a box of ours, for all to see; False if there is no room."""
        ticket = (self.words.get(number) // _TICKET + 1) % (_WORD // _TICKET)
        content = _head.pack(b"", ticket, len(change), is_durable)[8:] + change
        whole = xxhash.xxh3_64_digest(content) + content
        with suppress(OSError):
            if os.pwrite(self._descriptor, whole, PAGE_BYTES + number * BOX_BYTES) == len(whole):
                self.words.set(number, ticket * _TICKET + WAITING)
                return True
        return False

    def give_back(self, number: int) -> None:
        """A box of ours is no longer used; what was not made is not made any more."""
        word = self.words.get(number)
        while not self.words.swap(number, word, word & ~_STATES):
            word = self.words.get(number)
        with self._choosing:
            if len(self._idle) < IDLE_MAX:
                self._idle.append(number)
            else:
                self._held.discard(number)
                let_go(self._descriptor, number)

    # ---------------------------------------------------------------- who has the turn

    def serve(self, transaction: Any, databases: dict[str, Any]) -> list[Served]:
        """Make the changes that wait, in LMDB's transaction of who has the turn."""
        served: list[Served] = []
        for box in self.words.odd():
            word = self.words.get(box)
            if not word & 1:
                continue
            if not self._is_owned(box):
                self.words.swap(box, word, word & ~_STATES)
                continue
            found = self._read(box, word)
            if found is None:
                continue
            is_durable, change = found
            if make(change, transaction, databases):
                served.append(Served(box, word, is_durable))
            else:
                self._say(box, word, REFUSED)
        return served

    def say_committed(self, served: list[Served]) -> None:
        """The transaction was committed. Those who do not wait for the disk are told."""
        for box, word, is_durable in served:
            self._say(box, word, COMMITTED if is_durable else DONE)

    def say_done(self, served: list[Served]) -> None:
        """What was committed is on the disk now."""
        for box, word, is_durable in served:
            if is_durable and self.words.swap(box, (word & ~_STATES) | COMMITTED, (word & ~_STATES) | DONE):
                self.words.wake(box)

    def nudge(self) -> None:
        """The turn is free: wake one of those who came too late to be served."""
        for box in self.words.odd():
            word = self.words.get(box)
            if word & 1 and self._is_owned(box):
                if self.words.swap(box, word, (word & ~_STATES) | NUDGED):
                    self.words.wake(box)
                return

    def _say(self, box: int, word: int, state: int) -> None:
        """Change the state of a box that still holds the change that was read; its owner may have been killed, or nudged."""
        for before in (word, (word & ~_STATES) | WAITING, (word & ~_STATES) | NUDGED):
            if self.words.swap(box, before, (word & ~_STATES) | state):
                if state != COMMITTED:  # that one goes on waiting, for the disk
                    self.words.wake(box)
                return

    def _is_owned(self, box: int) -> bool:
        return box in self._held or is_held_elsewhere(self._descriptor, box)

    def _read(self, box: int, word: int) -> tuple[bool, bytes] | None:
        """The change in a box, if it is the one that this word says."""
        place = PAGE_BYTES + box * BOX_BYTES
        content = os.pread(self._descriptor, USUAL_BYTES, place)
        if len(content) < _head.size:
            return None
        check, ticket, nbytes, is_durable = _head.unpack_from(content)
        if (missing := _head.size + nbytes - USUAL_BYTES) > 0:
            content += os.pread(self._descriptor, min(missing, BOX_BYTES), place + USUAL_BYTES)
        content = content[: _head.size + nbytes]
        is_right = check == xxhash.xxh3_64_digest(content[8:]) and ticket == word // _TICKET
        return (bool(is_durable), content[_head.size :]) if is_right else None


class Box:
    """A box while it is ours. Leaving the `with` gives it back."""

    def __init__(self, queue: Queue, number: int) -> None:
        self._queue, self._words, self.number = queue, queue.words, number
        self._is_ours = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Let others have it; what was not made is not made any more."""
        if self._is_ours:
            self._is_ours = False
            self._queue.give_back(self.number)

    def wait(self, turn: Callable[[float | None], Flight], sync: Callable[[], None]) -> Flight | None:
        """Until the change was made: None; or the turn, held: it is for us to make it.

        Args:
            turn: The turn to write, waited for so many seconds.
            sync: Brings to the disk what was committed; for when who committed our change died before he did.
        """
        is_overdue = False
        while True:
            word = self._words.get(self.number)
            state = word & _STATES
            if state == DONE:
                return None
            if state == COMMITTED:
                if is_overdue:
                    sync()
                    return None
                self._words.wait(self.number, word, LOST_S)
                is_overdue = self._words.get(self.number) == word
            elif state == NUDGED:
                self._words.swap(self.number, word, (word & ~_STATES) | WAITING)
            elif state == REFUSED:
                held = turn(None)
                held.__enter__()
                return held
            elif (found := self._try(turn(0.0))) is not None:
                return found
            else:
                self._words.wait(self.number, word, LOST_S)

    def _try(self, turn: Flight) -> Flight | None:
        """The turn, if it can be had and our change was not made by now."""
        if not self._queue.take(turn):
            return None
        if self._words.get(self.number) & _STATES not in (COMMITTED, DONE):
            return turn
        turn.__exit__(None, None, None)
        return None
