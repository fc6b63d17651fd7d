"""Are the files as they were sealed, and are the kept weights of the chosen epoch?"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.findings import Finding, told
from bench_core.errors import BenchError, StoreError
from bench_core.store.folder import (
    BEST,
    CASES,
    COUNTS,
    JOB,
    LOG,
    MANIFEST,
    PREDICTIONS,
    RESULT,
    TRACE,
    damaged_files,
    fix_for,
    manifest_of,
)

_TESTED = (JOB, RESULT, COUNTS, CASES, PREDICTIONS)
REQUIRED = {"train": (*_TESTED, TRACE, BEST), "own": _TESTED, "apply": (JOB, RESULT)}
"""Files that a manifest must list, by the kind of work."""


def files(subject: Subject, audit: Audit) -> Iterable[Finding]:
    """Compare the folder with its manifest, and read what it must hold."""
    damaged = damaged_files(subject.folder)
    for name in damaged:
        yield subject.finding("the file is missing or not as it was sealed", name)
    yield from _listed(subject, set(damaged))
    # Asking for each of them fills `unreadable`.
    _ = subject.sealed, subject.result, subject.counts, subject.trace
    for name, error in subject.unreadable.items():
        if name not in damaged:
            yield subject.finding(told(error), name)


def _listed(subject: Subject, damaged: set[str]) -> Iterable[Finding]:
    """Compare the manifest with what the job's kind of work leaves, and with what lies there."""
    try:
        listed = manifest_of(subject.folder)
    except BenchError:
        return
    for name in REQUIRED[subject.job.work.kind]:
        if name not in listed and name not in damaged:
            yield subject.finding(f"the manifest does not list {name}, which such a job leaves", name)
    for name in subject.result.artifacts if subject.result is not None else ():
        if name not in listed:
            yield subject.finding(f"the manifest does not list {name}, which the result names", name)
    for path in sorted(subject.folder.rglob("*")):
        name = path.relative_to(subject.folder).as_posix()
        if name not in listed and name not in (MANIFEST, LOG) and not path.is_dir():
            yield subject.finding("the file is not in the manifest", name)
    hashes = subject.result.files if subject.result is not None else {}
    for name, digest in hashes.items():
        if name in listed and listed[name][1] != digest:
            yield subject.finding(f"it is not the {name} that the result was sealed with", name)


def checkpoint(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare the epoch that the weights are of with the chosen one."""
    path = subject.folder / BEST
    if subject.training is None or not path.exists():
        return None
    try:
        epoch = saved_epoch(path)
    except BenchError as error:
        return [subject.finding(told(error), BEST)]
    chosen = subject.training.chosen_epoch
    if epoch == chosen:
        return []
    return [subject.finding(f"the weights are of epoch {epoch}, the result's are of epoch {chosen}", BEST)]


def saved_epoch(path: Path) -> int:
    """Return the epoch that saved weights are of, without loading a tensor or running a line of the file.

    Raises StoreError if it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            saved = _Reader(io.BytesIO(archive.read(name))).load()
        return int(saved["epoch"])
    except Exception as error:  # A garbled pickle can raise anything.
        raise StoreError(
            "damaged file in the store",
            place=str(path),
            cause=f"{type(error).__name__}: {error}".splitlines()[0],
            fix=fix_for(path.parent),
        ) from error


class _Nothing:
    """Stands for every object of a pickle that is not looked at."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __call__(self, *arguments: Any) -> _Nothing:
        return self

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    append = extend = __call__


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else _Nothing

    def persistent_load(self, pid: Any) -> Any:
        return _Nothing()
