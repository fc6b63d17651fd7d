"""Content hashes of data files, remembered so that unchanged files are not read again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from bench_core.errors import DataError

SETTLED_SECONDS = 2.0
"""A file changed more recently than this is not remembered: its next change could carry the same time."""
Stamp = tuple[int, int, int, int]
"""Size, time of the last change of content, of the last change of anything (ns), inode."""


class ChangedFileError(DataError):
    """A file that changed between being hashed and being decoded."""


class FileHashes:
    """sha256 by path, size, times and inode; kept in one small JSON file that processes may share.

    A lost or damaged file costs a rehash, nothing else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _read(path)
        self._seen: dict[Path, tuple[Stamp, str, bool]] = {}
        self._changed = False

    def sha256(self, path: Path) -> str:
        """Return the hash of the file's content; raise DataError with its path if it cannot be read."""
        if path in self._seen:
            return self._seen[path][1]
        key = str(path.absolute())
        status = _status(path)
        stamp = stamp_of(status)
        known = self._known.get(key)
        settled = time.time() - max(status.st_mtime, status.st_ctime) > SETTLED_SECONDS
        if known is not None and known[:4] == [*stamp] and isinstance(known[4], str):
            digest = known[4]
        else:
            digest = _hash(path)
            if settled:
                self._known[key] = [*stamp, digest]
                self._changed = True
        self._seen[path] = stamp, digest, settled
        return digest

    def new_bytes(self, paths: Iterable[Path]) -> int:
        """Return how much `sha256` would have to read for these files."""
        total = 0
        for path in paths:
            status = _status(path)
            known = self._known.get(str(path.absolute()))
            if path not in self._seen and (known is None or known[:4] != [*stamp_of(status)]):
                total += status.st_size
        return total

    def confirm(self, paths: Iterable[Path]) -> None:
        """Raise ChangedFileError if a file is not what `sha256` has hashed in this object's life."""
        for path in paths:
            stamp, digest, settled = self._seen[path]
            same = stamp_of(_status(path)) == stamp
            # Times are coarse: a second change shortly after a first one is seen by content alone.
            if not same or (not settled and _hash(path) != digest):
                raise ChangedFileError(
                    "the file changed while it was read",
                    place=str(path),
                    fix="wait until all files of the dataset are written, then run the same command again",
                )

    def save(self) -> None:
        """Write what was learned; where that fails the files are hashed again next time."""
        if not self._changed:
            return
        merged = {**_read(self._path), **self._known}
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(merged), encoding="utf-8")
            temporary.replace(self._path)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        self._changed = False


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what tells a changed file from an unchanged one without reading it."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"file cannot be read: {error.strerror or error}",
        place=str(path),
        fix="restore the file or its permissions",
    )


def _read(path: Path) -> dict[str, list[object]]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {str(key): value for key, value in data.items() if isinstance(value, list) and len(value) == 5}
