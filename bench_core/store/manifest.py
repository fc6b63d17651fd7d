"""The manifest of a job's folder: the size and hash of each file, which show damage."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints, TypeAdapter

from bench_core.errors import StoreError
from bench_core.files.bounded import open_regular
from bench_core.files.hashes import sha256_of
from bench_core.records import Count
from bench_core.store.files import read_json, storing, write_json
from bench_core.store.folder import LOG, MANIFEST, damaged, fix_for


def _inside(name: str) -> str:
    """Return a path below a job's folder as it is; ValueError for any other."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name or "\\" in name:
        raise ValueError(f"{name!r} is not a path in the folder")
    return name


@dataclass(frozen=True)
class _Fact:
    bytes: Count
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class _Manifest:
    files: Mapping[Annotated[str, AfterValidator(_inside)], _Fact]
    log: _Fact | None = None
    """Of the log's beginning: lines are added to it until the folder is sealed."""


@cache
def _manifests() -> TypeAdapter[_Manifest]:
    return TypeAdapter(_Manifest)


def write_manifest(folder: Path, names: Sequence[str]) -> None:
    """Write manifest.json, the size and SHA-256 of each file; it says that the folder is complete."""
    with storing(folder):
        facts = {
            name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
            for name in names
        }
        log = _beginning(folder / LOG)
    write_json(folder / MANIFEST, {"files": facts} | ({} if log is None else {"log": log}))


def _beginning(path: Path, most_bytes: int | None = None) -> dict[str, Any] | None:
    """Return size and SHA-256 of a file, or of its first bytes; None where there is no such file."""
    digest, left = hashlib.sha256(), most_bytes
    try:
        with open_regular(path) as file:
            while part := file.read(1024**2 if left is None else min(left, 1024**2)):
                digest.update(part)
                left = None if left is None else left - len(part)
            return {"bytes": file.tell(), "sha256": digest.hexdigest()}
    except (OSError, ValueError):
        return None


def log_is_whole(folder: Path) -> bool:
    """Say whether the log begins as it did when the folder was sealed: lines may only have been added.

    True where the manifest says nothing of it; raises StoreError where that cannot be read.
    """
    fact = _manifest(folder).log
    if fact is None:
        return True
    found = _beginning(folder / LOG, fact.bytes)
    return found == {"bytes": fact.bytes, "sha256": fact.sha256}


def manifest_of(folder: Path) -> dict[str, tuple[int, str]]:
    """Return each file that the manifest lists, with its size and SHA-256.

    Raises StoreError if it is missing or damaged, or lists no plain files below the folder.
    """
    return {name: (fact.bytes, fact.sha256) for name, fact in _manifest(folder).files.items()}


def _manifest(folder: Path) -> _Manifest:
    path = folder / MANIFEST
    data = read_json(path, fix_for(folder))
    try:
        return _manifests().validate_python(data)
    except ValueError as error:
        raise damaged(path, error) from error


def damaged_files(folder: Path, most_bytes: int | None = None, missing: Collection[str] = ()) -> list[str]:
    """Return the names of files that differ from the manifest, the manifest itself if it cannot be read.

    Files larger than `most_bytes` are compared by their size alone; those that are known to be `missing` are
    not asked.
    """
    try:
        facts = manifest_of(folder)
    except StoreError:
        return [MANIFEST]
    return [
        name
        for name, (size, digest) in facts.items()
        if name not in missing and _differs(folder / name, size, digest, most_bytes)
    ]


def _differs(path: Path, size: int, digest: str, most_bytes: int | None) -> bool:
    try:
        if not path.is_file() or path.stat().st_size != size:
            return True
        return (most_bytes is None or size <= most_bytes) and sha256_of(path) != digest
    except OSError:
        return True
