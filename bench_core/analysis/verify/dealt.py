"""Are ids, groups and folds those of the description of the dataset that the store keeps?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.findings import Finding, told
from bench_core.data.automatic import image_box
from bench_core.data.folds import assign_folds, fold_hash
from bench_core.errors import BenchError
from bench_core.execute.datasets import folds_name
from bench_core.plan.job import fold_seed
from bench_core.samples import PREFIX, Samples, automatic_name
from bench_core.store.folder import COUNTS, RESULT, TRACE
from bench_core.store.result import Result


@dataclass(frozen=True, eq=False)
class Dealt:
    """A dataset's samples with the fold of each."""

    samples: Samples
    folds: tuple[int, ...]

    def within(self, roles: tuple[int, ...]) -> tuple[tuple[str, str], ...]:
        """Return id and group of the samples of some folds, in their order."""
        wanted, held = set(roles), self.samples
        return tuple(
            (sample, group)
            for sample, group, fold in zip(held.ids, held.groups, self.folds, strict=True)
            if fold in wanted
        )


def tested_images(subject: Subject, audit: Audit) -> tuple[str, ...] | None:
    """Return the ids of the images that a job looks at; None where the store does not say."""
    dealt = _dealt(subject, audit)
    if dealt is None:
        return None
    return tuple(sample for sample, _ in dealt.within(subject.job.fold.test or subject.job.fold.validation))


def samples(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare a job with the kept description of its dataset: how many samples, which lie in which fold."""
    result = subject.result
    if result is None:
        return None
    found = _kept(audit, result.data.fingerprint)
    if isinstance(found, BenchError):
        if subject is not _first(subject, audit):
            return []
        missing = not _path(audit, result.data.fingerprint).exists()
        text = f"{told(found)} ({_path(audit, result.data.fingerprint).name})"
        return [subject.finding(text, RESULT, level="warning" if missing else "error")]
    dealt = _dealt(subject, audit)
    if dealt is None:
        return [subject.finding(f"the kept dataset has no folds {folds_name(subject.job)!r}", RESULT)]
    return [
        *_sizes(subject, result, dealt),
        *_images(subject, dealt),
        *_dealing(subject, audit, dealt),
        *_structures(subject, dealt.samples),
    ]


def _first(subject: Subject, audit: Audit) -> Subject:
    """Return the first job with the same fingerprint."""
    mine = subject.result.data.fingerprint if subject.result else ""
    return next(
        peer
        for peer in audit.subjects
        if peer is subject or (peer.result is not None and peer.result.data.fingerprint == mine)
    )


def _path(audit: Audit, fingerprint: str) -> Path:
    return audit.store.datasets / f"{fingerprint}.json"


def _kept(audit: Audit, fingerprint: str) -> Samples | BenchError:
    def read() -> Samples | BenchError:
        try:
            return audit.store.samples(fingerprint)
        except BenchError as error:
            return error

    return audit.once(("samples", fingerprint), read)


def _dealt(subject: Subject, audit: Audit) -> Dealt | None:
    if subject.result is None:
        return None
    held = _kept(audit, subject.result.data.fingerprint)
    if isinstance(held, BenchError):
        return None
    folds = held.folds.get(folds_name(subject.job))
    return None if folds is None else Dealt(held, folds)


def _sizes(subject: Subject, result: Result, dealt: Dealt) -> Iterator[Finding]:
    facts, fold, held = result.data, subject.job.fold, dealt.samples
    for what, mine, there in (
        ("samples", facts.samples, len(held.ids)),
        ("groups", facts.groups, len(set(held.groups))),
        ("training images", facts.train, len(dealt.within(fold.train))),
        ("validation images", facts.validation, len(dealt.within(fold.validation))),
        ("test images", facts.test, len(dealt.within(fold.test))),
    ):
        if mine != there:
            yield subject.finding(f"it says {mine} {what}, the kept dataset has {there}", RESULT)
    if fold_hash(held.ids, np.array(dealt.folds)) != facts.fold_hash:
        yield subject.finding("its fold_hash is not that of the kept folds", RESULT)


def _images(subject: Subject, dealt: Dealt) -> Iterator[Finding]:
    fold = subject.job.fold
    if subject.counts is not None:
        mine = tuple(zip(subject.counts.ids, subject.counts.groups, strict=True))
        there = dealt.within(fold.test or fold.validation)
        if mine != there:
            known = set(there)
            odd = next((pair for pair in mine if pair not in known), None)
            named = f"{odd[0]} (group {odd[1]})" if odd else "their order or number"
            yield subject.finding(f"it counts other images than the kept fold's: {named}", COUNTS)
    shown = {sample for epoch in subject.trace or () for sample in epoch.order}
    strange = shown - {sample for sample, _ in dealt.within(fold.train)}
    if strange:
        text = f"it trains on {min(strange)}, which is in none of the folds that it trains on"
        yield subject.finding(text, TRACE)


def _structures(subject: Subject, held: Samples) -> Iterator[Finding]:
    """Compare the kept sizes of structures with what the counts say of the labels."""
    pixels, counts = subject.job.pixels, subject.counts
    columns = held.automatic.get(automatic_name(pixels.image_size, pixels.resize, pixels.padding))
    # A step may count other classes than the dataset's.
    if columns is None or counts is None or subject.job.work.kind == "apply":
        return
    places = {sample: place for place, sample in enumerate(held.ids)}
    for sample, values in zip(counts.ids, counts.values, strict=True):
        size = columns["size"][places[sample]] if sample in places else None
        if size is None:
            continue
        box = image_box(held.sizes[places[sample]], pixels.image_size, pixels.resize)
        area = math.prod(part.stop - part.start for part in box)
        labelled = int(values[:, [0, 2]].sum())
        # Kept sizes have six digits.
        if not math.isclose(float(size) * area, labelled, rel_tol=1e-5):
            yield subject.finding(
                f"it counts {labelled} pixels of structure in {sample}, {PREFIX}size of the kept dataset "
                f"says {float(size) * area:.0f}",
                COUNTS,
            )
            return


def _dealing(subject: Subject, audit: Audit, dealt: Dealt) -> Iterator[Finding]:
    """Yield, once for each dataset and dealing, how the kept folds are not what they have to be."""
    if audit.same_folds(subject)[0] is not subject:
        return
    held, job = dealt.samples, subject.job
    places = Counter(group for group, _ in set(zip(held.groups, dealt.folds, strict=True)))
    torn = next((group for group, number in places.items() if number > 1), None)
    if torn is not None:
        yield subject.finding(f"group {torn} lies in two of the kept folds", RESULT)
    if job.fold.count == 1:
        return  # A step looks at a whole dataset.
    if job.dataset.folds_content:
        return  # The user's own folds; their file is held against the job when the data are opened.
    if job.dataset.stratify:
        return  # What they are balanced by is in the masks, and looked at when the data are opened.
    if tuple(assign_folds(held.ids, held.groups, job.fold.count, fold_seed(job)).tolist()) != dealt.folds:
        yield subject.finding("the kept folds are not those of the spec's seed", RESULT)
