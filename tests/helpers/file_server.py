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
    headers: dict[str, str | None] = field(default_factory=dict)
    """What is said otherwise in the head of an answer, None for what is left out."""
    chunks: int | None = None
    """The content comes in so many chunks, the last of which marks its end, instead of with its length."""
    is_deaf: bool = False
    """The rest is sent where the rest is asked for, whatever file that is of."""
    stops_at: str | None = None
    """Sends nothing beyond this point: the connection, the head, or the body's beginning."""
    address: str = ""
    over: threading.Event = field(default_factory=threading.Event)
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
        protocol_version = "HTTP/1.1"
        close_connection = True

        def do_GET(self) -> None:
            files.ranges.append(self.headers.get("Range"))
            if files.stops_at == "connection":
                files.over.wait()
                return
            if files.status is not None or files.location is not None:
                self.send_response(files.status or 302)
                if files.location is not None:
                    self.send_header("Location", files.location)
                self.end_headers()
                return
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            if self.headers.get("If-Range") not in (None, files.etag) and not files.is_deaf:
                start = 0
            if start and start >= len(files.content):
                self.send_error(416)
                return
            total = len(files.content)
            said: dict[str, str | None] = {"Content-Length": str(total - start)}
            if files.chunks is not None:
                said = {"Transfer-Encoding": "chunked"}
            if start:
                said["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
            if files.has_etag:
                said["ETag"] = files.etag
            self.send_response(206 if start else 200)
            for name, value in (said | files.headers).items():
                if value is not None:
                    self.send_header(name, value)
            if files.stops_at == "head":
                self.flush_headers()
                files.over.wait()
                return
            self.end_headers()
            if files.stops_at == "body":
                self.wfile.write(files.content[start : start + 3])
                self.wfile.flush()
                files.over.wait()
                return
            content = files.content[start : files.cut_after]
            if files.chunks is None:
                self.wfile.write(content)
                return
            step = -(-len(content) // files.chunks)
            for begin in range(0, len(content), step):
                piece = content[begin : begin + step]
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if files.cut_after is None:
                self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    files.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield files
    finally:
        files.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
