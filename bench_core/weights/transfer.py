"""One transfer over HTTP: the file as it is, whole, from where it stopped, or an error that says why not."""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from bench_core.declarations import PublishedFile
from bench_core.errors import WeightsError
from bench_core.version import __version__
from bench_core.weights.files import WEIGHTS_FOLDER
from bench_core.weights.watch import Limits, Watch

Progress = Callable[[int, int | None], None]
"""Gets the bytes that are there and those that there will be, None if the server does not say."""

_BLOCK = 2**20
_TIMEOUT = 30.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LONGEST_STATE = 4096
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def fetch(
    published: PublishedFile,
    stream: IO[bytes],
    state: State,
    progress: Progress,
    limits: Limits,
    watch: Watch,
) -> None:
    """Append to the stream what it lacks of the file at the URL.

    Raises WeightsError for an answer that is empty, compressed, a web page, too long or without an end, and
    what urllib and http.client raise for one that is cut off.
    """
    there = stream.seek(0, os.SEEK_END)
    known = state.known()
    if there and known is None:
        # Nothing says that the server still has the file that this is the beginning of.
        there = stream.truncate(0)
    opener = watch.opener(_SecureRedirects())
    with _answer(opener, published.url, there, known[0] if known else "", state) as response:
        if response.status != http.client.PARTIAL_CONTENT:
            there = stream.truncate(0)
            state.remember(response.headers)
        total = _expected(response, published, there)
        if (total or 0) > limits.size:
            raise _refused(published, f"it has {total} bytes, more than {limits.size}")
        progress(there, total)
        while block := response.read1(_BLOCK):
            stream.write(block)
            there += len(block)
            watch.received(len(block))
            if there > limits.size:
                raise _refused(published, f"it has more than {limits.size} bytes")
            progress(there, total)
        stream.flush()
    if watch.reason is not None:
        raise TimeoutError(watch.reason)
    if total is not None and there < total:
        raise http.client.IncompleteRead(b"", total - there)
    if there == 0:
        raise _refused(published, "the answer is empty")


@dataclass
class State:
    """What is known of the file that NAME.part is the beginning of: its version, date and length."""

    file: Path

    def known(self) -> list[str] | None:
        """Return version, date and length, or the first of these; None where nothing tells files apart."""
        try:
            lines = self.file.read_text("utf-8")[:_LONGEST_STATE].split("\n")
        except (OSError, UnicodeDecodeError):
            return None
        return lines if lines[0] else None

    def remember(self, headers: Any) -> None:
        """Note what a server says of the file; a weak version says nothing of its bytes."""
        version = headers.get("ETag") or ""
        if not version or version.startswith("W/"):
            self.forget()
            return
        values = (version, headers.get("Last-Modified") or "", headers.get("Content-Length") or "")
        self.file.unlink(missing_ok=True)
        self.file.write_text("\n".join(values), "utf-8")

    def continues(self, headers: Any, there: int) -> bool:
        """Return whether an answer to a request for the rest is the rest of the same file."""
        known = self.known()
        found = _RANGE.fullmatch(headers.get("Content-Range") or "")
        if known is None or found is None:
            return False
        start, end, total = map(int, found.groups())
        version, date, length, *_ = [*known, None, None]
        return (
            headers.get("ETag") == version
            and date in (None, headers.get("Last-Modified") or "")
            and length in (None, "", str(total))
            and (start, end) == (there, total - 1)
            and headers.get("Content-Length") in (None, str(total - there))
        )

    def forget(self) -> None:
        """Remove what is known."""
        self.file.unlink(missing_ok=True)


def _expected(response: http.client.HTTPResponse, published: PublishedFile, there: int) -> int | None:
    """Return how many bytes the whole file has, None if the answer marks its own end otherwise.

    Raises WeightsError for an answer that is not the file as it is, or whose end cannot be told.
    """
    headers = response.headers
    coding = (headers.get("Content-Encoding") or "identity").strip().lower()
    if coding != "identity":
        raise _refused(published, f"the server sends it compressed ({coding}), though that was not asked for")
    if headers.get_content_type() == "text/html" and headers.get("Content-Type"):
        raise _refused(published, "the server answers with a web page")
    length = headers.get("Content-Length")
    if length is not None:
        if not re.fullmatch(r"\d{1,18}", length.strip()):
            raise _refused(published, f"the server says that its length is {length!r}")
        return there + int(length)
    chunked = (headers.get("Transfer-Encoding") or "").strip().lower() == "chunked"
    if not chunked and len(published.known_sha256) < 64:
        raise _refused(published, "the server does not say how long it is, so that its end cannot be told")
    return None


@contextmanager
def _answer(
    opener: urllib.request.OpenerDirector, url: str, there: int, version: str, state: State
) -> Iterator[http.client.HTTPResponse]:
    """Yield the answer for the rest of the file, or for all of it where its rest cannot be had."""
    headers = {"User-Agent": f"segtrial/{__version__}", "Accept-Encoding": "identity"}
    response: http.client.HTTPResponse | None = None
    if there:
        rest = urllib.request.Request(
            url, headers={**headers, "Range": f"bytes={there}-", "If-Range": version}
        )
        try:
            response = opener.open(rest, timeout=_TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            # All of it was there already, or more than all: from the beginning.
            if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
        partial = response is not None and response.status == http.client.PARTIAL_CONTENT
        if response is not None and partial and not state.continues(response.headers, there):
            response.close()
            response = None
    if response is None:
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    with response:
        yield response


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a server elsewhere as long as the way there is encrypted."""

    def redirect_request(
        self, request: Any, file: Any, code: int, message: str, headers: Any, url: str
    ) -> Any:
        check_address(url)
        return super().redirect_request(request, file, code, message, headers, url)


def check_address(url: str) -> None:
    """Raise WeightsError for what is not an address, and for one without encryption but on this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")
    except (ValueError, UnicodeError) as error:
        raise no_address(url, str(error)) from error
    if not host or re.search(r"[\x00-\x20\x7f]", url):
        raise no_address(url, "it has no host, or holds a space or control character")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise WeightsError("weights are downloaded over https only", place=url)


def no_address(url: str, cause: str) -> WeightsError:
    """Return the error for what is not an address."""
    return WeightsError(
        f"{url!r} is not an address that a file could be downloaded from",
        cause=cause,
        fix="correct the `url` that is declared, or get the file elsewhere",
    )


def _refused(published: PublishedFile, cause: str) -> WeightsError:
    return WeightsError(
        f"{published.name} cannot be downloaded",
        place=published.url,
        cause=cause,
        fix=f"download it by other means into the folder ${WEIGHTS_FOLDER}",
    )
