"""Content hashes of data files, remembered so that unchanged files are not read again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

from bench_core.errors import DataError

SETTLED_SECONDS = 2.0
"""A file changed more recently than this is not remembered: its next change could carry the same time."""


class FileHashes:
    """sha256 by path, size and times; kept in one small JSON file that processes may share.

    A lost or damaged file costs a rehash, nothing else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[object]] = _read(path)
        self._changed = False

    def sha256(self, path: Path) -> str:
        """Return the hash of the file's content; raise DataError with its path if it cannot be read."""
        key = str(path.absolute())
        try:
            status = path.stat()
            stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
            known = self._known.get(key)
            if known is not None and known[:3] == stamp and isinstance(known[3], str):
                return known[3]
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(
                f"file cannot be read: {error.strerror or error}",
                place=str(path),
                fix="restore the file or its permissions",
            ) from error
        if time.time() - max(status.st_mtime, status.st_ctime) > SETTLED_SECONDS:
            self._known[key] = [*stamp, digest]
            self._changed = True
        return digest

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


def _read(path: Path) -> dict[str, list[object]]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {str(key): value for key, value in data.items() if isinstance(value, list) and len(value) == 4}
