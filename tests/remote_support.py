"""An S3 server in a process of its own, and a TCP proxy of ours before it that delays, cuts and corrupts."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""

_numbers = itertools.count()


class S3:
    """A server of S3's protocol, with a bucket named `bucket`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("PUT", "/bucket")
        assert connection.getresponse().status == 200
        connection.close()

    def url(self) -> str:
        """A place of one's own there."""
        return f"s3://bucket/place{next(_numbers)}"

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.communicate()


class Proxy:
    """Hands bytes on between clients and a port of this machine, as it is told to.

    Attributes:
        mode: "pass"; "silent": answers are kept; "cut": connections end within an answer's body; "corrupt": a bit of each
            answer's body is another; "corrupt-up": of each request's body.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.mode = "pass"
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._open: list[socket.socket] = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End every connection, and take no more."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            self._open += [client, server]
            threading.Thread(target=self._hand_on, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._hand_on, args=(server, client, False), daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket, is_request: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                mode = self.mode
                head, end, body = data.partition(b"\r\n\r\n")
                if not end:
                    head, body = b"", data
                if mode == "silent" and not is_request:
                    continue
                if mode == "cut" and not is_request and body:
                    target.sendall(head + end + body[: len(body) // 2])
                    break
                if body and mode == ("corrupt-up" if is_request else "corrupt"):
                    middle = len(body) // 2
                    body = body[:middle] + bytes([body[middle] ^ 16]) + body[middle + 1 :]
                target.sendall(head + end + body)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def within(limit_s: float) -> Iterator[None]:
    """What happens here takes no longer."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < limit_s
