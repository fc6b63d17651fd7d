"""The file that makes a folder a store, and tells in which format it is written."""

from __future__ import annotations

from pathlib import Path

from bench_core.errors import StoreError
from bench_core.store.files import make_folder, read_json, write_json

STORE_FORMAT = 2
_MARKER = "store.json"


def check_store(path: Path) -> None:
    """Raise StoreError if a folder is something else than a store, or of another format.

    One that does not exist, or is empty but for what was cut off while being written, can become one.
    """
    marker = path / _MARKER
    if marker.exists():
        _check_format(marker)
    elif path.exists() and not (path.is_dir() and all(part.suffix == ".tmp" for part in path.iterdir())):
        raise StoreError(
            "this is not a folder of results",
            place=str(path),
            cause=f"it is not empty and holds no {_MARKER}",
            fix="choose another folder with --store",
        )


def mark_store(path: Path) -> None:
    """Make a folder a store; raises StoreError where that fails."""
    make_folder(path)
    if not (path / _MARKER).exists():
        write_json(path / _MARKER, {"format": STORE_FORMAT})


def _check_format(marker: Path) -> None:
    data = read_json(marker, f'write {{"format": {STORE_FORMAT}}} into it')
    found = data.get("format") if isinstance(data, dict) else None
    if found != STORE_FORMAT:
        raise StoreError(
            f"the store has format {found!r}, this segtrial reads format {STORE_FORMAT}",
            place=str(marker),
            fix="use the segtrial version that wrote it, or choose another folder with --store",
        )
