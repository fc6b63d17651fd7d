"""Paths that users write: checked before anything is done with them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from bench_core.errors import BenchError
from bench_core.text import hidden_in, visible_name

LONGEST_NAME = 255
"""Bytes of one name within a path that common file systems take."""
LONGEST_DECLARED = 200
"""Bytes of a declared name: it gets endings and temporary names."""
LONGEST_PATH = 4096
"""Bytes of a whole path that Linux takes."""


def path_mistake(path: Path | str) -> str | None:
    """Return in words why a path cannot name a file, or None: its characters, its length, a loop of links."""
    text = os.fspath(path)
    hidden = hidden_in(text, name=True)
    if hidden is not None:
        return f"its name holds {hidden}"
    if any(len(part.encode()) > LONGEST_NAME for part in Path(text).parts):
        return f"a name in it is longer than {LONGEST_NAME} bytes"
    if len(text.encode()) > LONGEST_PATH:
        return f"it is longer than {LONGEST_PATH} bytes"
    if _runs_in_a_circle(text):
        return "its symbolic links run in a circle"
    return None


def file_name_mistake(name: str) -> str | None:
    """Return in words why a name that code declares cannot be the name of a file in a folder, or None."""
    if not name or name != name.strip():
        return "it is empty, or starts or ends with a space"
    if "/" in name or "\\" in name or name.startswith("."):
        return "it is a path, or the name of a hidden file"
    if len(name.encode("utf-8", "replace")) > LONGEST_DECLARED:
        return f"it is longer than {LONGEST_DECLARED} bytes"
    hidden = hidden_in(name, name=True)
    return f"it holds {hidden}" if hidden is not None else None


def check_path(path: Path, what: str) -> Path:
    """Return the path, absolute ones and relative ones alike; BenchError where it cannot name a file."""
    mistake = path_mistake(path) or path_mistake(Path.cwd() / path)
    if mistake is not None:
        raise BenchError(
            f"{what} cannot be used", place=visible_name(_short(str(path))), cause=mistake, fix="rename it"
        )
    return path


def folder_of(file: Path) -> Path:
    """Return the folder of a file, absolute and without links; the file need not exist."""
    return Path(os.path.realpath(file.parent))


def expand(text: str, what: str = "the path") -> Path:
    """Return a path with `~` and `~user` filled in; BenchError where there is no such home folder."""
    try:
        return Path(text).expanduser()
    except (RuntimeError, ValueError) as error:
        raise BenchError(
            f"{what} names a home folder that does not exist",
            place=visible_name(_short(text)),
            cause=f"there is no user {visible_name(Path(text).parts[0][1:])!r} here",
            fix="write the path out, or ./~name for a file whose name starts with ~",
        ) from error


def _runs_in_a_circle(text: str) -> bool:
    try:
        Path(text).stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    except ValueError:
        return False
    return False


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:100]}...{text[-60:]}"
