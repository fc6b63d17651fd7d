"""Downloads published weights files: resumable, checked against what is known of them, never by itself."""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bench_core.declarations import PublishedFile
from bench_core.errors import WeightsError
from bench_core.files.hashes import sha256_of
from bench_core.files.names import name_problem
from bench_core.weights.files import WEIGHTS_FOLDER
from bench_core.weights.transfer import Progress, State, check_address, fetch, no_address
from bench_core.weights.watch import Limits, Watch

_AGAIN = "run the same command again: it resumes where it stopped"
_LONGEST_RECORD = 4096


def download(
    published: PublishedFile,
    folder: Path,
    progress: Progress = lambda done, total: None,
    limits: Limits = Limits(),  # noqa: B008 - it cannot change
) -> tuple[Path, str]:
    """Download a file into the folder; return its path and SHA-256.

    The data go to NAME.part, which a later call continues, and get their name when they are whole and agree
    with what is known of their SHA-256. That is recorded beside them in NAME.sha256, as sha256sum reads it.
    Raises WeightsError without a network, for an address that is none, a server's refusal, an answer that is
    empty, cut off, compressed or a web page, a transfer beyond `limits`, a full disk, and another file.
    """
    if problem := name_problem(published.name):
        raise WeightsError(f"{published.name!r} is not the plain name of a file", cause=problem)
    check_address(published.url)
    target = folder / published.name
    part = folder / f"{published.name}.part"
    state = State(part.with_name(f"{part.name}.etag"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _opened_alone(part) as stream, Watch(limits) as watch:
            try:
                fetch(published, stream, state, progress, limits, watch)
            except WeightsError:
                # What has come is not the file, or not all of one that may come.
                part.unlink(missing_ok=True)
                state.forget()
                raise
            except (OSError, http.client.HTTPException) as error:
                if watch.reason is not None:
                    raise _unreachable(published, TimeoutError(watch.reason)) from error
                raise
        digest = sha256_of(part)
        _check(published, digest, part)
        part.replace(target)
        state.forget()
        _record(target, digest)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _unreachable(published, error) from error
    except OSError as error:
        raise WeightsError(
            "weights file cannot be written",
            place=str(target),
            cause=error.strerror or str(error),
            fix=_AGAIN,
        ) from error
    except ValueError as error:
        # Hosts and headers that http.client and its codecs cannot take.
        raise no_address(published.url, str(error)) from error
    return target, digest


def verify(file: Path, published: PublishedFile | None = None) -> str:
    """Return the SHA-256 of a file that is there; raise WeightsError if it is another than recorded."""
    digest = sha256_of(file)
    known = published.known_sha256 if published and published.name == file.name else ""
    record = recorded_in(file)
    for expected, origin in ((_recorded(file), f"{record.name} says"), (known, "its publisher's begins")):
        if expected and not digest.startswith(expected):
            raise WeightsError(
                "weights file is not what it was",
                place=str(file),
                cause=f"its SHA-256 is {digest}, and {origin} {expected}",
                fix=f"delete it and {record.name}, and download it again",
            )
    return digest


def origin_of_hash(file: Path, published: PublishedFile | None = None) -> str:
    """Return in words what a file's SHA-256 was compared with: its publisher's, the one recorded, nothing."""
    known = published.known_sha256 if published and published.name == file.name else ""
    if known:
        return "as published" if len(known) == 64 else f"its first {len(known)} digits as published"
    return "recorded here, not published" if _recorded(file) else "neither published nor recorded"


def recorded_in(file: Path) -> Path:
    """Return where a file's SHA-256 is recorded."""
    return file.with_name(f"{file.name}.sha256")


def _record(file: Path, digest: str) -> None:
    record = recorded_in(file)
    record.unlink(missing_ok=True)
    with os.fdopen(os.open(record, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w") as stream:
        stream.write(f"{digest}  {file.name}\n")


def _recorded(file: Path) -> str:
    """Return the SHA-256 recorded beside a file, "" if none; raise WeightsError for a record that is none."""
    record = recorded_in(file)
    if not record.is_file():
        return ""
    with record.open("rb") as stream:
        words = stream.read(_LONGEST_RECORD).split()
    if words and re.fullmatch(rb"[0-9a-fA-F]{64}", words[0]):
        return words[0].decode().lower()
    raise WeightsError(
        "the record of a file's SHA-256 is damaged",
        place=str(record),
        fix="delete the record and the file, and download the file again",
    )


@contextmanager
def _opened_alone(part: Path) -> Iterator[IO[bytes]]:
    """Open NAME.part to be appended to, and keep other processes of this machine away, where possible."""
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o666)
    with os.fdopen(handle, "ab") as stream:
        try:
            import fcntl
        except ImportError:
            yield stream
            return
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WeightsError(
                "weights file is being downloaded by another process",
                place=str(part),
                fix="wait for that one",
            ) from error
        yield stream


def _check(published: PublishedFile, digest: str, part: Path) -> None:
    if digest.startswith(published.known_sha256):
        return
    part.unlink()
    raise WeightsError(
        f"{published.url} is not the file that was published",
        cause=f"its SHA-256 is {digest}, not {published.known_sha256}...; it was deleted",
        fix="try again later, or get the file elsewhere",
    )


def _unreachable(published: PublishedFile, error: Exception) -> WeightsError:
    if isinstance(error, urllib.error.HTTPError):
        cause, fix = f"the server answers {error.code} {error.reason}", "get the file elsewhere"
    elif isinstance(error, http.client.IncompleteRead):
        cause, fix = "the connection ended too early", _AGAIN
    else:
        reason = getattr(error, "reason", None) or error
        cause, fix = f"no connection ({reason})", "run the same command where there is a network"
        if isinstance(error, TimeoutError) and not isinstance(error, urllib.error.URLError):
            cause, fix = f"too slow ({error})", _AGAIN
    return WeightsError(
        f"{published.name} cannot be downloaded",
        place=published.url,
        cause=cause,
        fix=f"{fix}; or download it by other means into the folder ${WEIGHTS_FOLDER}",
    )
