"""Downloads published weights files: resumable, checked against what is known of them, never by itself."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from bench_core import __version__
from bench_core.declarations import PublishedFile
from bench_core.errors import WeightsError
from bench_core.hashes import sha256_of
from bench_core.weights.files import WEIGHTS_FOLDER

Progress = Callable[[int, int | None], None]
"""Gets the bytes that are there and those that there will be, None if the server does not say."""

_BLOCK = 2**20
_TIMEOUT = 30.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_AGAIN = "run the same command again: it goes on where it stopped"


def download(
    published: PublishedFile, folder: Path, progress: Progress = lambda done, total: None
) -> tuple[Path, str]:
    """Download a file into the folder; return its path and SHA-256.

    The data go to NAME.part, which a later call continues, and get their name when they are whole and agree
    with what is known of their SHA-256. That is recorded beside them in NAME.sha256, as sha256sum reads it.
    Raises WeightsError without a network, for a server's refusal, a full disk, and a file that is another.
    """
    _refuse_insecure(published.url)
    target = folder / published.name
    part = folder / f"{published.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as stream, _alone(stream, part):
            _fetch(published.url, stream, part.with_name(f"{part.name}.etag"), progress)
        digest = sha256_of(part)
        _check(published, digest, part)
        part.replace(target)
        part.with_name(f"{part.name}.etag").unlink(missing_ok=True)
        recorded_in(target).write_text(f"{digest}  {target.name}\n")
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _unreachable(published, error) from error
    except OSError as error:
        raise WeightsError(
            "weights file cannot be written",
            place=str(target),
            cause=error.strerror or str(error),
            fix=_AGAIN,
        ) from error
    return target, digest


def verify(file: Path, published: PublishedFile | None = None) -> str:
    """Return the SHA-256 of a file that is there; raise WeightsError if it is another than recorded."""
    digest = sha256_of(file)
    record = recorded_in(file)
    recorded = record.read_text().partition(" ")[0].strip() if record.is_file() else ""
    known = published.known_sha256 if published and published.name == file.name else ""
    for expected, origin in ((recorded, f"{record.name} says"), (known, "its publisher's begins")):
        if expected and not digest.startswith(expected):
            raise WeightsError(
                "weights file is not what it was",
                place=str(file),
                cause=f"its SHA-256 is {digest}, and {origin} {expected}",
                fix="delete it and download it again",
            )
    return digest


def recorded_in(file: Path) -> Path:
    """Return where a file's SHA-256 is recorded."""
    return file.with_name(f"{file.name}.sha256")


def _fetch(url: str, stream: IO[bytes], etag_file: Path, progress: Progress) -> None:
    """Append to the stream what it lacks of the file at the URL."""
    there = stream.seek(0, os.SEEK_END)
    etag = etag_file.read_text() if there and etag_file.is_file() else ""
    if there and not etag:
        # Nothing says that the server still has the file that this is the beginning of.
        there = stream.truncate(0)
    request = urllib.request.Request(url, headers={"User-Agent": f"segtrial/{__version__}"})
    if there:
        request.add_header("Range", f"bytes={there}-")
        request.add_header("If-Range", etag)
    with _opened(request) as response:
        _refuse_insecure(response.url)
        if response.status != http.client.PARTIAL_CONTENT:
            there = stream.truncate(0)
            _remember(response.headers.get("ETag"), etag_file)
        length = response.headers.get("Content-Length")
        total = there + int(length) if length is not None else None
        progress(there, total)
        while block := response.read(_BLOCK):
            stream.write(block)
            there += len(block)
            progress(there, total)
        stream.flush()
        if total is not None and there < total:
            raise http.client.IncompleteRead(b"", total - there)


@contextmanager
def _opened(request: urllib.request.Request) -> Iterator[http.client.HTTPResponse]:
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        # All of it was there already, or more than all: from the beginning.
        whole = urllib.request.Request(request.full_url, headers={"User-Agent": f"segtrial/{__version__}"})
        response = urllib.request.urlopen(whole, timeout=_TIMEOUT)
    with response:
        yield response


def _remember(etag: str | None, file: Path) -> None:
    if etag and not etag.startswith("W/"):
        file.write_text(etag)
    else:
        file.unlink(missing_ok=True)


@contextmanager
def _alone(stream: IO[bytes], part: Path) -> Iterator[None]:
    """Keep other processes of this machine from writing to the same file, where the system can."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise WeightsError(
            "weights file is being downloaded by another process", place=str(part), fix="wait for that one"
        ) from error
    yield


def _check(published: PublishedFile, digest: str, part: Path) -> None:
    if digest.startswith(published.known_sha256):
        return
    part.unlink()
    raise WeightsError(
        f"{published.url} is not the file that was published",
        cause=f"its SHA-256 is {digest}, not {published.known_sha256}...; it was deleted",
        fix="try again later, or get the file elsewhere",
    )


def _refuse_insecure(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise WeightsError("weights are downloaded over https only", place=url)


def _unreachable(published: PublishedFile, error: Exception) -> WeightsError:
    if isinstance(error, urllib.error.HTTPError):
        cause, fix = f"the server answers {error.code} {error.reason}", "get the file elsewhere"
    elif isinstance(error, http.client.IncompleteRead):
        cause, fix = "the connection ended too early", _AGAIN
    else:
        reason = getattr(error, "reason", None) or error
        cause, fix = f"no connection ({reason})", "run the same command where there is a network"
    return WeightsError(
        f"{published.name} cannot be downloaded",
        place=published.url,
        cause=cause,
        fix=f"{fix}; or download it by other means into the folder ${WEIGHTS_FOLDER}",
    )
