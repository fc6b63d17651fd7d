"""What a reader says of its files' content, kept beside the caches so that files are decoded for it once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from bench_core.data.grouping import CONTENT
from bench_core.data.samples import PixelRemarking, Reader, Remarking
from bench_core.files.bounded import BoundError, read_json

NOTE = "remarks-"
"""Begin the names of files in the folder of caches: what was said of each content."""
_FORMAT = 1
"""Raise it with any change to what readers say."""
_MOST_BYTES = 1024**2


def remarks_of(reader: Reader, fingerprint: str, cache: Path) -> list[str]:
    """Return what a reader says of its data: of files as they lie now, of pixels as of this content.

    Raises as the reader does. `fingerprint` is of the files' content, whatever the grouping of samples.
    """
    said = [*reader.remarks()] if isinstance(reader, Remarking) else []
    if not isinstance(reader, PixelRemarking):
        return said
    key = json.dumps([_FORMAT, fingerprint[:CONTENT]])
    place = cache / f"{NOTE}{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    known = _kept(place)
    if known is None:
        known = [*reader.pixel_remarks()]
        _keep(place, known)
    return said + known


def _kept(place: Path) -> list[str] | None:
    try:
        found: Any = read_json(place, _MOST_BYTES)["remarks"]
    except (OSError, BoundError, LookupError, TypeError):
        return None
    good = isinstance(found, list) and all(isinstance(line, str) for line in found)
    return found if good else None


def _keep(place: Path, remarks: list[str]) -> None:
    """Write the remarks; where that fails, files are decoded again next time."""
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps({"remarks": remarks}), encoding="utf-8")
        temporary.replace(place)
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
