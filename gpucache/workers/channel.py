"""A two-way channel of messages between the driver and one worker, over an AF_UNIX stream.

A frame is a small header (msgpack) and a payload of bytes that nobody on the way looks into. One frame costs one
write: 0.1 ms a round trip (FACTS, a pipe's round trip), where a Ray actor call costs 2 ms. Knows nothing of calls.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
import threading
from multiprocessing import AuthenticationError, connection, reduction

from gpucache.workers import messages

_HEAD = struct.Struct("<I?")
_ONE_FRAME_MAX_BYTES = 256 * 2**10
"""Up to here header and payload are joined by a copy; beyond, a second write is cheaper than the copy."""


class Channel:
    """One end. send() from any thread; recv() from one thread. Closing either end gives the other an EOFError."""

    def __init__(self, stream: connection.Connection) -> None:
        self._stream = stream
        self._sending = threading.Lock()

    def send(self, message: messages.Message, payload: bytes | memoryview = b"") -> None:
        """Write one frame; returns when the kernel has it.

        Raises:
            OSError: The other end is gone.
        """
        header = messages.encode(message)
        apart = len(payload) > _ONE_FRAME_MAX_BYTES
        with self._sending:
            if apart:
                self._stream.send_bytes(_HEAD.pack(len(header), True) + header)
                self._stream.send_bytes(payload)
            else:
                self._stream.send_bytes(b"".join((_HEAD.pack(len(header), False), header, payload)))

    def recv(self) -> tuple[messages.Message, memoryview]:
        """Wait for one frame.

        Raises:
            EOFError, OSError: The other end is gone, or this one was closed.
        """
        frame = memoryview(self._stream.recv_bytes())
        header_bytes, apart = _HEAD.unpack_from(frame)
        end = _HEAD.size + header_bytes
        message = messages.decode(frame[_HEAD.size : end])
        return message, memoryview(self._stream.recv_bytes()) if apart else frame[end:]

    def send_descriptor(self, descriptor: int, pid: int) -> None:
        """Give the process at the other end a copy of an open descriptor; it must be waiting in recv_descriptor()."""
        reduction.send_handle(self._stream, descriptor, pid)

    def recv_descriptor(self) -> int:
        """A descriptor that the other end sends; the caller's to close."""
        return reduction.recv_handle(self._stream)

    def fileno(self) -> int:
        """The descriptor, for poll()."""
        return self._stream.fileno()

    def close(self) -> None:
        """Close this end. Safe to call twice."""
        self._stream.close()

    def hang_up(self) -> None:
        """End the conversation from any thread: a recv() that waits in another thread gets EOF, which close() would not do."""
        try:
            with socket.socket(fileno=os.dup(self._stream.fileno())) as end:
                end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # closed already: what we wanted


def pair() -> tuple[Channel, socket.socket]:
    """A channel for the driver, and the socket to hand to the worker (inherited: nobody else can connect)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return from_descriptor(ours.detach()), theirs


def from_descriptor(descriptor: int) -> Channel:
    """A channel on a connected stream socket, which it owns from now on."""
    return Channel(connection.Connection(descriptor))


class Listener:
    """Where workers that we did not start as children connect back: an abstract AF_UNIX address with a key.

    Abstract, so that nothing is left on disk when this process is killed, and reachable from containers that share the
    network namespace. Only this user, by SO_PEERCRED, and only with the key, by HMAC challenge in both directions.
    """

    def __init__(self) -> None:
        self.key = secrets.token_bytes(32)
        self.address = f"\0gpucache-{os.getpid()}-{secrets.token_hex(8)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(self.address)
        self._socket.listen(128)

    def accept(self) -> Channel:
        """Wait for the next worker; who fails the challenge is turned away and waited past.

        Raises:
            OSError: The listener was closed.
        """
        while True:
            accepted, _ = self._socket.accept()
            if _peer_user(accepted) not in (os.getuid(), None):
                accepted.close()
                continue
            stream = connection.Connection(accepted.detach())
            try:
                connection.deliver_challenge(stream, self.key)
                connection.answer_challenge(stream, self.key)
            except (OSError, EOFError, AuthenticationError):
                stream.close()
                continue
            return Channel(stream)

    def close(self) -> None:
        """Stop listening; an accept() that waits gets OSError."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()


def connect(address: str, key: bytes) -> Channel:
    """A worker's end of a channel to the Listener at `address`.

    Raises:
        OSError, EOFError, multiprocessing.AuthenticationError: Not there, or not ours.
    """
    return Channel(connection.Client(address, family="AF_UNIX", authkey=key))


def _peer_user(accepted: socket.socket) -> int | None:
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    credentials = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])
