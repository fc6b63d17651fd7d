"""Are the files as they were sealed, and are the kept weights of the chosen epoch?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.findings import Finding, Level, told
from bench_core.analysis.verify.saved_weights import Form, SavedWeights, saved_weights, undefined_tensors
from bench_core.errors import BenchError
from bench_core.store.folder import BEST, CASES, COUNTS, JOB, LOG, MANIFEST, PREDICTIONS, RESULT, TRACE
from bench_core.store.manifest import damaged_files, log_is_whole, manifest_of

_TESTED = (JOB, RESULT, COUNTS, CASES, PREDICTIONS)
REQUIRED = {"train": (*_TESTED, TRACE, BEST), "own": _TESTED, "apply": (JOB, RESULT)}
"""Files that a manifest must list, by the kind of work."""


def files(subject: Subject, audit: Audit) -> Iterable[Finding]:
    """Compare the folder with its manifest, and read what it must hold."""
    damaged = damaged_files(subject.folder, missing=subject.left_out)
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
    if not log_is_whole(subject.folder):
        yield subject.finding("the log does not begin as it did when the job was sealed", LOG)
    hashes = subject.result.files if subject.result is not None else {}
    for name, digest in hashes.items():
        if name in listed and listed[name][1] != digest:
            yield subject.finding(f"it is not the {name} that the result was sealed with", name)


def checkpoint(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare the kept weights with the chosen epoch, the network that was built, and those of the cell."""
    if subject.training is None or not (subject.folder / BEST).exists():
        return None
    return [subject.finding(text, BEST, level=level) for text, level in _checkpoint(subject, audit)]


def _checkpoint(subject: Subject, audit: Audit) -> Iterator[tuple[str, Level]]:
    path, training, result = subject.folder / BEST, subject.training, subject.result
    saved = _saved(subject, audit)
    if isinstance(saved, BenchError):
        yield told(saved), "error"
        return
    try:
        nan, infinite = undefined_tensors(path, saved)
    except BenchError as error:
        yield told(error), "error"
        return
    if training is not None and saved.epoch != training.chosen_epoch:
        text = f"the weights are of epoch {saved.epoch}, the result's are of epoch {training.chosen_epoch}"
        yield text, "error"
    facts = result.network if result is not None else None
    if facts is not None and saved.elements != (facts.elements or saved.elements):
        yield f"the weights are {saved.elements:,} numbers, the network had {facts.elements:,}", "error"
    elif facts is not None and saved.elements < facts.parameters:
        yield f"the weights are {saved.elements:,} numbers for {facts.parameters:,} parameters", "error"
    usual = audit.usual("weights", audit.same_cell(subject), lambda peer: _form(peer, audit))
    if usual is not None and saved.form != usual[0]:
        odd = next(iter(set(saved.form) ^ set(usual[0])), ("their order",))[0]
        yield f"the weights are of another form than those of {usual[1].job.name}: {odd!a:.100}", "error"
    if nan:
        yield f"the weights {nan[0]!a:.100} hold NaN", "error"
    if infinite:
        yield f"the weights {infinite[0]!a:.100} hold infinity", "warning"


def _form(subject: Subject, audit: Audit) -> Form | None:
    saved = _saved(subject, audit)
    return None if isinstance(saved, BenchError) else saved.form


def _saved(subject: Subject, audit: Audit) -> SavedWeights | BenchError:
    def read() -> SavedWeights | BenchError:
        try:
            saved = saved_weights(subject.folder / BEST)
        except BenchError as error:
            return error
        # Those of one network have equal tensors, which are kept once.
        tensors = audit.once(("tensors", tuple(saved.tensors.items())), lambda: saved.tensors)
        return replace(saved, tensors=tensors)

    # A job's are asked for by all of its cell, long before its own turn.
    return audit.once(("saved", subject.job.digest), read)
