"""Files in a folder of the user's: whole or not at all, never over another one, never out of the folder."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from bench_core.errors import BenchError

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


class OutputError(BenchError):
    """A folder of outputs that cannot be used."""


class Outputs:
    """A folder that files are placed in, under plain names and one level of folders.

    Raises OutputError where the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, overwrite: bool) -> None:
        self.folder, self._overwrite = folder, overwrite

    def check(self, names: Iterable[str], inputs: Iterable[Path]) -> None:
        """Raise OutputError where a file of these names is there, is one of the inputs, or is meant twice."""
        sources = {os.path.realpath(path) for path in inputs}
        taken: list[Path] = []
        known: set[str] = set()
        for name in names:
            path = self.folder / name
            if name.lower() in known:
                raise OutputError(
                    "would be written twice",
                    place=str(path),
                    cause="a slice of one image has the name of another image",
                    fix="predict them into folders of their own",
                )
            known.add(name.lower())
            if os.path.realpath(path) in sources:
                raise OutputError(
                    "would take the place of an image that is read",
                    place=str(path),
                    fix="choose another folder with --out",
                )
            if os.path.lexists(path):
                taken.append(path)
        if taken and not self._overwrite:
            more = f", and {len(taken) - 1} more" if len(taken) > 1 else ""
            raise OutputError(
                f"is there already{more}",
                place=str(taken[0]),
                cause="nothing is overwritten unless that is asked for",
                fix="choose another folder with --out, or add --overwrite",
            )

    def place(self, name: str, write: Callable[[Path], object]) -> Path:
        """Let `write` fill a new file and give it its name; return its path.

        A link of that name is replaced, never followed.
        """
        target = self.folder / name
        self._make(target.parent)
        # The name's own ending stays: some writers choose their format by it.
        beside = target.with_name(f".{uuid.uuid4().hex[:12]}-{target.name}")
        try:
            write(beside)
            if self._overwrite:
                beside.replace(target)
            else:
                _rename_to_new(beside, target)
        except FileExistsError as error:
            raise OutputError(
                "is there already", place=str(target), fix="choose another folder with --out"
            ) from error
        except OSError as error:
            raise _unwritable("cannot be written", target, error) from error
        finally:
            beside.unlink(missing_ok=True)
        return target

    def _make(self, folder: Path) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if folder != self.folder:
                if folder.is_symlink():
                    raise OutputError(
                        "is a link, which could lead out of the folder",
                        place=str(folder),
                        fix="remove it, or choose another folder with --out",
                    )
                folder.mkdir(exist_ok=True)
        except OSError as error:
            raise _unwritable("the folder cannot be made", folder, error) from error


def _unwritable(what: str, path: Path, error: OSError) -> OutputError:
    room = "free some space, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return OutputError(
        what,
        place=str(path),
        cause=error.strerror or str(error),
        fix=f"{room}choose another folder with --out",
    )


def _rename_to_new(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Without hard links there is a moment in which another process may place its own.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        source.rename(target)
