"""Files that survive a crash: written beside, flushed to disk, renamed into place; read with clear errors."""

from __future__ import annotations

import errno
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from bench_core.errors import StoreError
from bench_core.files import bounded
from bench_core.files.system import is_folder, kind_of, looking_again, opened, system
from bench_core.processes.unbroken import unbroken
from bench_core.text import json_visible

_WRITABLE = "make it writable, or choose a writable folder with --store"
_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space, then run the same command again: it resumes"),
    errno.EDQUOT: ("your disk quota is used up", "free some space, then run the same command again"),
    errno.EROFS: (
        "the file system is read-only",
        _WRITABLE,
    ),
    errno.EACCES: ("you may not write there", _WRITABLE),
    errno.EPERM: ("you may not write there", _WRITABLE),
    errno.ENOTDIR: ("a file lies where a folder is needed", "move that file away or choose another --store"),
    errno.EEXIST: ("a file lies where a folder is needed", "move that file away or choose another --store"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n) or use fewer --workers"),
}


class DiskError(StoreError):
    """The store cannot be written to: what goes wrong for one job goes wrong for all."""


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn an OSError inside into a DiskError that names `path`, the reason and what to do."""
    try:
        yield
    except OSError as error:
        raise _explained(error, path) from error


def disk_error(error: Exception, path: Path) -> DiskError | None:
    """Return the DiskError for an OSError of a full or read-only disk, whoever raised it; None for others."""
    reason: BaseException | None = error
    while reason is not None and not isinstance(error, DiskError):
        if isinstance(reason, OSError) and reason.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return _explained(reason, path)
        reason = reason.__cause__
    return None


def _explained(error: OSError, path: Path) -> DiskError:
    cause, fix = _REASONS.get(error.errno or 0, (error.strerror or str(error), None))
    place = str(error.filename) if error.filename else str(path)
    return DiskError("cannot write to the store", place=place, cause=cause, fix=fix)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that takes the place of `path` at the end, whole or not at all.

    Raises DiskError when the disk is full or not writable; `path` then keeps its old content.
    """
    beside = path.with_name(f".{path.name}.{_new_name()}.tmp")
    with unbroken(), storing(path):
        try:
            with system().writing(beside) as file:
                yield file
            _replace(beside, path)
        except BaseException:
            with suppress(FileNotFoundError):
                system().unlink(beside)
            raise
        flush_folder(path.parent)


def _new_name() -> str:
    # Processes of other machines, which may have the same id, write beside the same file.
    return uuid.uuid4().hex[:12]


def _replace(beside: Path, path: Path) -> None:
    def rename() -> None:
        try:
            system().rename(beside, path)
        except FileNotFoundError:
            # The name is ours alone: where it is gone, a rename was done whose answer is lost.
            if kind_of(beside) is not None or kind_of(path) != "file":
                raise

    looking_again(rename)


def flush_folder(path: Path) -> None:
    """Make renames inside `path` durable, where the system can."""
    system().flush(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as file:
        file.write(content)


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically, keys in the order given; NaN and infinity are refused by ValueError.

    A byte of a name that is not UTF-8 is written out as text, so that a result never fails for its name.
    """
    text = json_visible(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False))
    write_bytes(path, text.encode() + b"\n")


def read_json(path: Path, fix: str) -> Any:
    """Read JSON; raise StoreError with `fix` if the file is missing, truncated or garbled."""
    try:
        return bounded.read_json(path)
    except FileNotFoundError as error:
        raise StoreError("file is missing from the store", place=str(path), fix=fix) from error
    except (ValueError, OSError) as error:
        raise StoreError("damaged file in the store", place=str(path), cause=str(error), fix=fix) from error


def make_folder(path: Path) -> None:
    """Create a folder and its parents; raise DiskError if that cannot be."""
    with storing(path):
        _make(path)


def remove_tree(path: Path) -> None:
    """Remove a folder, if it is there; raise DiskError if that cannot be."""
    with storing(path), suppress(FileNotFoundError):
        system().remove(path)


def _make(path: Path) -> None:
    try:
        looking_again(lambda: system().make(path))
    except FileNotFoundError:
        if path.parent == path:
            raise
        _make(path.parent)
        _make(path)
    except OSError:
        # As for a folder that others have made, or that was made though the answer is lost.
        if not is_folder(path) and not _is_listed(path):
            raise


def _is_listed(path: Path) -> bool:
    """Say whether there is such a folder, although this machine may remember that there was none."""
    with opened(path.parent) as at:
        return at is not None and kind_of(path.name, at) == "folder"
