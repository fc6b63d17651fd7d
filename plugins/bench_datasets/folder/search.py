"""Where files are looked for, and which of them are read."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench_datasets.decoding.dicom import EXTENSIONS as DICOM
from bench_datasets.decoding.dicom import INSTALL, can_read_dicom
from bench_datasets.folder.tables import composed

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".nii", ".nii.gz")
EXTENSIONS = (*PICTURES, *(DICOM if can_read_dicom() else ()))
"""Of the formats that are read here."""
MOST_FOLDERS = 1000
"""Sub-folders in which files are looked for that a pattern does not reach."""


@dataclass(frozen=True)
class Found:
    """A file of a format that is read."""

    path: Path
    name: str
    """Path below the searched folder without extension, in NFC."""


def searched(root: Path, where: str) -> tuple[Path, str]:
    """Return the folder that is searched and the pattern below it."""
    parts = Path(where).parts
    fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), None)
    if fixed is None:
        return root / where, "*"
    return root.joinpath(*parts[:fixed]), str(Path(*parts[fixed:]))


def below(root: Path, where: str) -> Iterator[tuple[str, Path]]:
    """Yield name below the searched folder and path of whatever a pattern matches, hidden names left out."""
    base, pattern = searched(root, where)
    # Path.glob passes over broken links.
    for name in sorted(glob.glob(pattern, root_dir=base, recursive=True)):  # noqa: PTH207
        if not Path(name).name.startswith("."):
            yield name, base / name


def find_files(root: Path, where: str, problems: list[str]) -> list[Found]:
    """Return the files of the formats that are read; what cannot be one is added to `problems`."""
    base, _ = searched(root, where)
    if not base.is_dir():
        problems.append(f"{where}: no such folder")
        return []
    found = []
    for name, path in below(root, where):
        extension = extension_of(path.name)
        if extension is None:
            continue
        key = composed(Path(name).as_posix()[: -len(extension)])
        if not _printable(key):
            problems.append(f"{name!a}: the name holds characters that cannot be printed")
        elif not path.is_file():
            kind = "a folder" if path.is_dir() else "a broken link or no regular file"
            problems.append(f"{shown(root, path)}: is {kind}")
        else:
            found.append(Found(path, key))
    return found


def unread_files(root: Path, where: str) -> dict[str, Path]:
    """Return files in formats that are not read, by their key with its suffix."""
    return {
        composed(Path(name).with_suffix("").as_posix()): path
        for name, path in below(root, where)
        if extension_of(name) is None and path.is_file()
    }


def deeper_files(root: Path, where: str) -> list[Path]:
    """Return pictures in sub-folders of a folder that is given without a pattern."""
    base, pattern = searched(root, where)
    if pattern != "*":
        return []
    found: list[Path] = []
    for seen, (folder, folders, names) in enumerate(os.walk(base)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if seen:
            files = sorted(name for name in names if extension_of(name) and not name.startswith("."))
            found += [Path(folder, name) for name in files]
        if seen == MOST_FOLDERS:
            break
    return found


def extension_of(name: str) -> str | None:
    """Return the extension of a format that is read, or None."""
    lowered = name.lower()
    found = [extension for extension in EXTENSIONS if lowered.endswith(extension)]
    return max(found, key=len) if found else None


def why_unread(path: Path) -> str:
    """Return why a file that looks like a picture is not read."""
    if path.name.lower().endswith(DICOM):
        return f"DICOM, which needs {INSTALL}"
    return "in a format that is not read" if path.suffix else "without an extension"


def shown(root: Path, path: Path) -> str:
    """Return a file's path as messages print it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _printable(text: str) -> bool:
    return text.isprintable() and text.encode("utf-8", "ignore").decode() == text
