"""A web server on loopback with one file, which can be told to misbehave."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """What is served under every path, and what was asked for."""

    content: bytes
    cut_after: int | None = None
    """The connection ends after so many bytes, whatever was announced."""
    has_etag: bool = True
    status: int | None = None
    """Answered instead of the file."""
    location: str | None = None
    """Where everybody is sent on to."""
    address: str = ""
    ranges: list[str | None] = field(default_factory=list)
    """The Range header of each request."""

    @property
    def etag(self) -> str:
        """What tells this content from another."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'


@contextmanager
def serving(content: bytes) -> Iterator[FileServer]:
    """Serve the content at `address`/anything until the block ends."""
    files = FileServer(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files.ranges.append(self.headers.get("Range"))
            if files.status is not None or files.location is not None:
                self.send_response(files.status or 302)
                if files.location is not None:
                    self.send_header("Location", files.location)
                self.end_headers()
                return
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            if self.headers.get("If-Range") not in (None, files.etag):
                start = 0
            if start >= len(files.content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(files.content) - start))
            if files.has_etag:
                self.send_header("ETag", files.etag)
            self.end_headers()
            self.wfile.write(files.content[start : files.cut_after])

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    files.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
