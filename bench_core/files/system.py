"""The few operations of a file system that claims and results stand on, so that tests can put another below.

A folder can be opened: what is done through its number reaches that folder wherever it is moved, and no other
that takes its name. Every other operation goes by names. Errors are OSErrors, as the system raises them.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal, TypeVar

Kind = Literal["file", "folder"]
Found = TypeVar("Found")
UNCERTAIN = frozenset({errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.EINTR, errno.EAGAIN})
"""Errors that say neither that an operation was done nor that it was not."""
TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR})
"""Errors of a rename whose target is there."""
LOOKS = 5
"""How often something is tried before an uncertain answer counts."""
FIRST_PAUSE_SECONDS = 0.02
"""Before the second look; it doubles with each further one."""
Name = Path | str
"""A path; below an open folder where one is given."""


class FileSystem:
    """The file system of this machine, with what is mounted there; tests put a simulated one in its place."""

    def open_folder(self, path: Name, at: int | None = None) -> int:
        """Open a folder and return its number; what is read through it is as new as this call."""
        follow = 0 if at is None else os.O_NOFOLLOW
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | follow, dir_fd=at)

    def close(self, number: int) -> None:
        """Close an open folder or file."""
        os.close(number)

    def names(self, at: int) -> dict[str, Kind]:
        """Return what an open folder holds."""
        with os.scandir(at) as entries:
            return {
                entry.name: "folder" if entry.is_dir(follow_symlinks=False) else "file" for entry in entries
            }

    def kind(self, path: Name, at: int | None = None) -> Kind | None:
        """Say what lies there; None for nothing. Links are not followed."""
        try:
            found = os.stat(path, dir_fd=at, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return "folder" if stat.S_ISDIR(found.st_mode) else "file"

    def is_folder(self, path: Path) -> bool:
        """Say whether a folder lies there, or a link to one."""
        return path.is_dir()

    def read(self, path: Name, most_bytes: int, at: int | None = None) -> bytes:
        """Return a file's content, or its first `most_bytes`."""
        # Whatever lies there: no link is followed, and no pipe waited for.
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        with os.fdopen(number, "rb") as file:
            return file.read(most_bytes)

    def read_end(self, path: Path, most_bytes: int) -> bytes:
        """Return a file's content, or its last `most_bytes`."""
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most_bytes))
            return file.read()

    def changed(self, path: Name, at: int | None = None) -> int:
        """Return a file's time of change in nanoseconds; only whether it differs means anything."""
        return os.stat(path, dir_fd=at, follow_symlinks=False).st_mtime_ns

    def make(self, path: Name) -> None:
        """Create one folder."""
        Path(path).mkdir()

    @contextmanager
    def writing(self, path: Path) -> Iterator[IO[bytes]]:
        """Yield a new or emptied file; at the end of the context its content is on the disk."""
        with path.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    def create(self, path: Name, content: bytes, at: int | None = None) -> int:
        """Create a file with this content, bring it to the disk and return its number."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        number = os.open(path, flags, 0o666, dir_fd=at)
        try:
            self.overwrite(number, content)
        except BaseException:
            os.close(number)
            raise
        return number

    def overwrite(self, number: int, content: bytes) -> None:
        """Write over the beginning of an open file and bring it to the disk."""
        done = 0
        while done < len(content):
            done += os.pwrite(number, content[done:], done)
        os.fsync(number)

    def copy(self, source: Path, target: Path) -> None:
        """Copy a file with its times."""
        number = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(number, "rb") as old, self.writing(target) as new:
            shutil.copyfileobj(old, new)
            times = os.fstat(number)
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name."""
        os.link(source, target)

    def rename(
        self, source: Name, target: Name, source_at: int | None = None, target_at: int | None = None
    ) -> None:
        """Give a file or folder another name, at once and for all."""
        os.rename(source, target, src_dir_fd=source_at, dst_dir_fd=target_at)

    def unlink(self, path: Name, at: int | None = None) -> None:
        """Remove a file's name."""
        os.unlink(path, dir_fd=at)

    def rmdir(self, path: Name) -> None:
        """Remove a folder, which must be empty."""
        Path(path).rmdir()

    def remove(self, path: Name, at: int | None = None) -> None:
        """Remove a folder with all that it holds."""
        shutil.rmtree(path, dir_fd=at)

    def flush(self, path: Path) -> None:
        """Make renames inside a folder durable, where the system can."""
        with suppress(OSError):
            number = os.open(path, os.O_RDONLY)
            try:
                # Some network file systems cannot flush a folder; the rename is still atomic.
                os.fsync(number)
            finally:
                os.close(number)

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


_current: FileSystem = FileSystem()


def system() -> FileSystem:
    """Return the file system in use."""
    return _current


@contextmanager
def using(other: FileSystem) -> Iterator[None]:
    """Put another file system below everything while the block runs; for tests."""
    global _current
    before, _current = _current, other
    try:
        yield
    finally:
        _current = before


@contextmanager
def opened(path: Path) -> Iterator[int | None]:
    """Yield the number of an open folder, None where there is none."""
    try:
        number = looking_again(lambda: system().open_folder(path))
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    try:
        yield number
    finally:
        system().close(number)


def looking_again(look: Callable[[], Found]) -> Found:
    """Return what `look` does; look again where a file changed under it (ESTALE) or the answer was lost.

    Only for what may be done twice. The last error is raised.
    """
    for attempt in range(LOOKS - 1):
        try:
            return look()
        except OSError as error:
            if error.errno not in UNCERTAIN:
                raise
        system().pause(FIRST_PAUSE_SECONDS * 2**attempt)
    return look()


def kind_of(path: Name, at: int | None = None) -> Kind | None:
    """Say what lies there; None for nothing. Links are not followed."""
    return looking_again(lambda: system().kind(path, at))


def is_folder(path: Path) -> bool:
    """Say whether a folder lies there, or a link to one."""
    return looking_again(lambda: system().is_folder(path))


def moved(source: Name, target: Name, source_at: int | None = None, target_at: int | None = None) -> bool:
    """Rename what nobody else renames or replace; say whether it is at its target now.

    False where the target was taken. Where the answer to a rename that was done is lost, a second try finds
    no source: FileNotFoundError, which the caller must tell from a source that was not there.
    """

    def rename() -> bool:
        try:
            system().rename(source, target, source_at, target_at)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
            return False
        return True

    return looking_again(rename)
