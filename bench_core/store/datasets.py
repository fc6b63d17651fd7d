"""What a store keeps of each dataset: ids, groups, sizes, attributes and folds, in datasets/FINGERPRINT.json.

No digest and no number of a job depends on these files. They hold no image and no mask.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

from bench_core.errors import StoreError
from bench_core.samples import Samples, read_samples
from bench_core.store.files import make_folder, write_bytes
from bench_core.text import json_visible

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_TRIES = 3


def keep_samples(folder: Path, samples: Samples) -> None:
    """Write a dataset's samples, or add their folds to those that are there.

    Attributes and spacing are the newest: a fingerprint covers the files' content alone. Of two jobs that
    write at once each looks again whether its folds are there.
    """
    path = _path(folder, samples.fingerprint)
    for _ in range(_TRIES):
        present = _present(path)
        wanted = samples if present is None else present.merged(samples)
        if present is not None and wanted.to_json() == present.to_json():
            return
        make_folder(folder)
        text = json.dumps(wanted.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        write_bytes(path, json_visible(text).encode() + b"\n")


def stored_samples(folder: Path, fingerprint: str) -> Samples:
    """Return the samples of this fingerprint; raise StoreError if they are missing or damaged."""
    path = _path(folder, fingerprint)
    fix = "`bench data check SPEC --store STORE` writes it anew"
    try:
        status = path.stat()
        found = _parsed(path, (status.st_ino, status.st_size, status.st_mtime_ns))
    except FileNotFoundError as error:
        text = "the store keeps no description of this dataset"
        raise StoreError(text, place=str(path), fix=fix) from error
    except (OSError, ValueError) as error:
        raise StoreError("damaged file in the store", place=str(path), cause=str(error), fix=fix) from error
    if found.fingerprint != fingerprint:
        text = f"it describes dataset {found.fingerprint[:12]}"
        raise StoreError("damaged file in the store", place=str(path), cause=text, fix=fix)
    return found


@lru_cache(maxsize=8)
def _parsed(path: Path, stamp: tuple[int, int, int]) -> Samples:
    """Return what the file holds: each job of a dataset asks for the same one. `stamp` tells its versions."""
    return read_samples(path)


def _present(path: Path) -> Samples | None:
    """Return what is there already; None where nothing is, or nothing that can be read."""
    try:
        found = read_samples(path)
    except (OSError, ValueError):
        return None
    return found if found.fingerprint == path.stem else None


def _path(folder: Path, fingerprint: str) -> Path:
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise StoreError(f"{fingerprint[:80]!r} is not the fingerprint of a dataset", place=str(folder))
    return folder / f"{fingerprint}.json"
