"""Where files are looked for, and which of them are read."""

from __future__ import annotations

import glob
from pathlib import Path

from bench_datasets.decoding.dicom import EXTENSIONS as DICOM
from bench_datasets.decoding.dicom import can_read_dicom
from bench_datasets.folder.tables import composed

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".nii", ".nii.gz")
EXTENSIONS = (*PICTURES, *(DICOM if can_read_dicom() else ()))
"""Of the formats that are read here."""


def searched(root: Path, where: str) -> tuple[Path, str]:
    """Return the folder that is searched and the pattern below it."""
    parts = Path(where).parts
    fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), None)
    if fixed is None:
        return root / where, "*"
    return root.joinpath(*parts[:fixed]), str(Path(*parts[fixed:]))


def unread_files(root: Path, where: str) -> dict[str, Path]:
    """Return files in formats that are not read, by their key with its suffix."""
    base, pattern = searched(root, where)
    names = sorted(glob.glob(pattern, root_dir=base, recursive=True))  # noqa: PTH207
    return {
        composed(Path(name).with_suffix("").as_posix()): base / name
        for name in names
        if extension_of(name) is None and not Path(name).name.startswith(".") and (base / name).is_file()
    }


def extension_of(name: str) -> str | None:
    """Return the extension of a format that is read, or None."""
    lowered = name.lower()
    found = [extension for extension in EXTENSIONS if lowered.endswith(extension)]
    return max(found, key=len) if found else None


def shown(root: Path, path: Path) -> str:
    """Return a file's path as messages print it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
