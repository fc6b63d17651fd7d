"""The study's hash of each image, in a file beside a cache: it is there where a study's rule asked for it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench_core.files.bounded import BoundError, read_json

STUDY = "study.json"
_MOST_BYTES = 256 * 1024**2


def save_study_hashes(folder: Path, fingerprint: str, hashes: Sequence[int]) -> None:
    """Write the hashes whole or not at all; raise OSError if they cannot be written."""
    body = json.dumps([fingerprint, [f"{value:016x}" for value in hashes]])
    text = json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest(), "study": body})
    temporary = folder / f".{STUDY}.{os.getpid()}.tmp"
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(folder / STUDY)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load_study_hashes(folder: Path, fingerprint: str, count: int) -> NDArray[np.uint64] | None:
    """Return the hashes [N] of a cache of this content; None where they are not there, or not whole."""
    try:
        envelope = read_json(folder / STUDY, _MOST_BYTES)
        body = envelope["study"]
        if hashlib.sha256(body.encode()).hexdigest() != envelope["sha256"]:
            return None
        known, texts = json.loads(body)
        hashes = np.array([int(text, 16) for text in texts], dtype=np.uint64)
    except (OSError, BoundError, ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return None
    return hashes if known == fingerprint and hashes.shape == (count,) else None
