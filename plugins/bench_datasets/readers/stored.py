"""A published file as it lies there: on its own, or a member of a zip archive that is read unextracted."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench_core.errors import DataError
from bench_core.files.bounded import BoundError, open_regular
from bench_datasets.readers.archives import Member, members

MOST_BYTES = 256 * 1024**2
"""Of one file; the largest published image takes some 20 MB."""
MOST_FOLDERS = 20_000
REPLACE = "get the file again: it is not as published"


@dataclass(frozen=True)
class Stored:
    """One file; `member` where it lies in the zip archive `path`."""

    path: Path
    member: Member | None = None

    @property
    def place(self) -> str:
        """The path, continued into the archive."""
        return str(self.path) if self.member is None else f"{self.path}/{self.member.name}"

    def content(self, most_bytes: int = MOST_BYTES) -> bytes:
        """Return all bytes; raise DataError with the place for a file that is missing, damaged or too large.

        May be called from several threads: each call opens the file for itself.
        """
        try:
            if self.member is not None:
                content = self.member.read(self.path, most_bytes)
            else:
                with open_regular(self.path) as file:
                    # Python reserves as much memory as is asked for.
                    content = file.read(min(os.fstat(file.fileno()).st_size, most_bytes) + 1)
        except BoundError as error:
            raise DataError(str(error), place=self.place, fix=REPLACE) from error
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise  # No fault of the file: another one would do no better.
            reason = error.strerror or str(error)
            raise DataError(f"cannot be read: {reason}", place=self.place, fix=REPLACE) from error
        if not content:
            raise DataError("is empty", place=self.place, fix=REPLACE)
        if len(content) > most_bytes:
            raise DataError(f"is larger than {most_bytes:,} bytes", place=self.place, fix=REPLACE)
        return content


def bare_members(archive: Path) -> dict[str, Stored]:
    """Return an archive's files by their names without folders; raises as `members` does.

    Hidden files and what macOS adds are left out. BoundError also for two files of one name.
    """
    found: dict[str, Stored] = {}
    for member in members(archive):
        name = member.name.rpartition("/")[2]
        if name.startswith(".") or member.name.startswith("__MACOSX/"):
            continue
        if name in found:
            raise BoundError(f"the archive holds two files named {name!a:.80}")
        found[name] = Stored(archive, member)
    return found


def folders(root: Path, depth: int) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder down to `depth` levels below the root with its sub-folders and files, all sorted.

    A caller may shorten the list of sub-folders to keep the search out of them. Hidden ones and what macOS
    adds to archives are left out. Raises DataError where there are more than MOST_FOLDERS.
    """
    waiting, seen = [(root, depth)], 0
    while waiting:
        folder, left = waiting.pop(0)
        seen += 1
        if seen > MOST_FOLDERS:
            raise DataError(
                f"holds more than {MOST_FOLDERS:,} folders",
                place=str(root),
                fix="set `root` to the dataset's own",
            )
        names, files = listed(folder)
        yield folder, names, files
        if left:
            waiting += [(folder / name, left - 1) for name in names]


def listed(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of a folder's sub-folders and files, sorted, without hidden ones.

    A link to nowhere is no file, so that it is told as one that is missing.
    Raises DataError for a folder that is missing or closed.
    """
    names: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith((".", "__MACOSX")):
                    continue
                if entry.is_dir():
                    names.append(entry.name)
                elif entry.is_file():
                    files.append(entry.name)
    except OSError as error:
        raise DataError(
            f"the folder cannot be read: {error.strerror or error}", place=str(folder), fix="correct `root:`"
        ) from error
    return sorted(names), sorted(files)
