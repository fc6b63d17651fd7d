"""Whose report lies in a folder: two studies of one name do not overwrite each other in silence."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench_core.errors import StoreError
from bench_core.files.bounded import BoundError, read_json
from bench_core.spec.model import Spec

RECORD = ".study.json"
"""File in a report's folder that says which spec it was made from."""
_LARGEST_RECORD = 1024 * 1024


@dataclass(frozen=True)
class Origin:
    """The spec that a report is made from."""

    path: str
    """Of the spec file, absolute and without links."""
    overrides: tuple[str, ...]
    """The values of --set."""
    content: str
    """SHA-256 of the spec as it is run."""

    @classmethod
    def of(cls, spec: Spec, path: Path, overrides: Sequence[str]) -> Origin:
        """Return the origin of a loaded spec."""
        text = json.dumps(spec.model_dump(mode="json"), sort_keys=True)
        return cls(os.path.realpath(path), tuple(overrides), hashlib.sha256(text.encode()).hexdigest())

    @property
    def words(self) -> str:
        """As a command line takes it."""
        options = (word for item in self.overrides for word in ("--set", item))
        return shlex.join([self.path, *options])


def check_folder(folder: Path, origin: Origin) -> None:
    """Raise StoreError where the folder holds the report of another spec.

    The same file may have changed since; and a spec with the same content is the same study, wherever it
    lies. A record that cannot be read, or of a file that exists no more, protects nothing.
    """
    earlier = _recorded(folder / RECORD)
    if earlier is None or earlier.content == origin.content or not Path(earlier.path).exists():
        return
    if (earlier.path, earlier.overrides) != (origin.path, origin.overrides):
        raise StoreError(
            "the folder holds the report of another study",
            place=str(folder),
            cause=f"it was made from {earlier.words}, this one is made from {origin.words}",
            fix="choose another folder with --out, or overwrite it with --force",
        )


def record(origin: Origin) -> str:
    """Return the content of RECORD."""
    return json.dumps(asdict(origin), indent=1, sort_keys=True) + "\n"


def _recorded(path: Path) -> Origin | None:
    try:
        data = read_json(path, _LARGEST_RECORD)
        origin = Origin(data["path"], tuple(data["overrides"]), data["content"])
    except (OSError, BoundError, KeyError, TypeError):
        return None
    texts = (origin.path, origin.content, *origin.overrides)
    return origin if all(isinstance(text, str) for text in texts) else None
