"""A finished job as one of several stores has it, checked whole before another takes it."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench_core.errors import StoreError
from bench_core.plan.identity import digest_of
from bench_core.plan.job import Job
from bench_core.store import folder as files
from bench_core.store.manifest import log_is_whole, manifest_of
from bench_core.store.store import Store

Facts = Mapping[str, tuple[int, str]]


@dataclass(frozen=True)
class Held:
    """A job as one store has it, checked."""

    store: Store
    job: Job
    facts: Facts
    """Of each file: size and SHA-256."""
    fingerprint: str
    basis: tuple[tuple[str, str], ...]

    @property
    def folder(self) -> Path:
        """Where it is sealed."""
        return self.store.folder(self.job.digest)


def checked(store: Store, digest: str) -> Held:
    """Return a job that is whole: sealed, as its manifest has it, and the one that its folder's name says.

    Raises StoreError for any other.
    """
    folder = store.folder(digest)
    fix = files.fix_for(folder)
    if folder.is_symlink():
        raise StoreError("a link is not merged", place=str(folder), fix=fix)
    facts = manifest_of(folder)
    for name in facts:
        _regular(folder, name)
    store.check(digest)
    job, result = store.job(digest), store.result(digest)
    if not log_is_whole(folder):
        raise StoreError("the log does not begin as it did", place=str(folder / files.LOG), fix=fix)
    for name in (files.JOB, files.RESULT):
        if name not in facts:
            raise StoreError(f"the manifest does not list {name}", place=str(folder), fix=fix)
    for name, found in ((files.JOB, job.digest), (files.JOB, digest_of(job)), (files.RESULT, result.digest)):
        if found != digest:
            raise StoreError(f"it is of job {found[:12]}", place=str(folder / name), fix=fix)
    for name, hashed in result.files.items():
        if facts.get(name, (0, ""))[1] != hashed:
            raise StoreError("it is not the file of the result", place=str(folder / name), fix=fix)
    if files.COUNTS in facts:
        store.counts(digest)
    return Held(store, job, facts, result.data.fingerprint, tuple(sorted(result.basis.items())))


def _regular(folder: Path, name: str) -> None:
    """Raise StoreError for a file that a link leads to, itself or a folder above it."""
    path = folder
    for part in Path(name).parts:
        path = path / part
        try:
            mode = path.lstat().st_mode
        except OSError:
            return  # `check` names what is missing.
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise StoreError("a link is not merged", place=str(path), fix=files.fix_for(folder))
