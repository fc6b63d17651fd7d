"""Connections that end: a transfer that takes too long, or hardly moves, is cut off wherever it waits."""

from __future__ import annotations

import http.client
import socket
import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a download may take."""

    seconds: float = 2 * 3600
    """From the first connection to the last byte."""
    patience: float = 30
    """Seconds over which speed is measured."""
    slowest: float = 1024
    """Bytes per second, on average over `patience` seconds."""
    size: int = 16 * 1024**3
    """Bytes of the file."""


class Watch:
    """Cuts off a download that passes its limits; `reason` then says which, else it is None.

    The sockets are shut down from a thread of its own, since a server can keep every single read waiting: for
    the connection, the encryption, one byte of a header, or one of the file.
    """

    def __init__(self, limits: Limits) -> None:
        self.reason: str | None = None
        self._limits = limits
        self._received = 0
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="download watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for each in self._sockets:
            each.close()

    def received(self, count: int) -> None:
        """Note that so many bytes of the file have come."""
        self._received += count

    def connected(self, connection: socket.socket) -> None:
        """Take charge of a new connection, before it is encrypted."""
        with self._lock:
            # A duplicate stays valid where encryption takes the original over.
            self._sockets.append(connection.dup())
            if self.reason is not None:
                self._cut_off()

    def opener(self, redirects: urllib.request.HTTPRedirectHandler) -> urllib.request.OpenerDirector:
        """Return an opener whose connections are in this watch's charge."""
        watch = self

        class Plain(http.client.HTTPConnection):
            def connect(self) -> None:
                super().connect()
                watch.connected(self.sock)

        class Secure(http.client.HTTPSConnection, Plain):
            """`HTTPSConnection.connect` calls that of `Plain` before it encrypts."""

        class PlainHandler(urllib.request.HTTPHandler):
            def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
                return self.do_open(Plain, request)

        class SecureHandler(urllib.request.HTTPSHandler):
            def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
                more: dict[str, Any] = {"context": self._context}  # type: ignore[attr-defined]
                return self.do_open(Secure, request, **more)

        return urllib.request.build_opener(redirects, PlainHandler, SecureHandler)

    def _run(self) -> None:
        limits = self._limits
        end, before = time.monotonic() + limits.seconds, 0
        while self.reason is None:
            if self._over.wait(min(limits.patience, max(0.0, end - time.monotonic()))):
                return
            received = self._received
            if time.monotonic() >= end:
                self._stop(f"it took more than {limits.seconds:g} seconds")
            elif received - before < limits.slowest * limits.patience:
                self._stop(
                    f"fewer than {limits.slowest:g} bytes per second came in {limits.patience:g} seconds"
                )
            before = received

    def _stop(self, reason: str) -> None:
        with self._lock:
            self.reason = reason
            self._cut_off()

    def _cut_off(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
