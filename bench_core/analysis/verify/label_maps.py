"""Do counts and pictures follow from the kept label maps, and, with the data at hand, from the masks?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.findings import Finding, told
from bench_core.errors import BenchError
from bench_core.labels import choose_cases, count_all
from bench_core.records import Counts, Predictions
from bench_core.store.folder import CASES, COUNTS, PREDICTIONS, RESULT

if TYPE_CHECKING:
    from bench_core.execute.prepare import JobData

Open = Callable[[Subject], "JobData"]


def predictions(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare counts and pictures with the label maps: predicted pixels, ids, and which images are shown."""
    if subject.counts is None:
        return None
    kept = subject.predictions
    if kept is None:
        error = subject.unreadable.get(PREDICTIONS)
        return [
            subject.finding(told(error) if error else "it counts pixels and left no label maps", PREDICTIONS)
        ]
    return list(_predictions(subject, subject.counts, kept))


def _predictions(subject: Subject, counts: Counts, kept: Predictions) -> Iterable[Finding]:
    classes = len(counts.classes)
    if kept.ids != counts.ids:
        yield subject.finding("its label maps are of other images than its counts", PREDICTIONS)
        return
    if kept.labels.size and int(kept.labels.max()) > classes:
        yield subject.finding(f"a label map holds {int(kept.labels.max())}, which is no class", PREDICTIONS)
        return
    for sample, labels, rows in zip(kept.ids, kept.labels, counts.values, strict=True):
        painted = np.bincount(labels.ravel(), minlength=classes + 1)[1 : classes + 1]
        claimed = rows[:, 0] + rows[:, 1]
        # Pixels that count nowhere may be painted, too: with them there are more than are counted.
        ignoring = rows.sum() and _ignores(subject)
        if (claimed > painted).any() or (not ignoring and (claimed != painted).any()):
            text = f"its label map of {sample} has {painted.tolist()} pixels of each class, its counts say "
            yield subject.finding(f"{text}{claimed.tolist()} (TP + FP)", COUNTS)
            break
    yield from _pictures(subject, counts, kept)


def _ignores(subject: Subject) -> bool:
    job = subject.job
    return job.pixels.padding == "ignore" or job.dataset.options.get("ignore") not in (None, "", [], ())


def _pictures(subject: Subject, counts: Counts, kept: Predictions) -> Iterable[Finding]:
    try:
        cases = subject.cases()
    except BenchError:
        return
    wanted = [(sample, rank) for sample, rank, _ in choose_cases(counts.ids, counts.values)]
    shown = [(case.id, case.rank) for case in cases]
    if shown != wanted:
        yield subject.finding(f"its pictures are {_pairs(shown)}; its counts choose {_pairs(wanted)}", CASES)
    for case in cases:
        if case.id in kept.ids:
            labels = kept.labels[kept.ids.index(case.id)]
            if labels.shape != case.prediction.shape or (labels != case.prediction).any():
                text = f"the picture of {case.id} shows another prediction than its label map"
                yield subject.finding(text, CASES)


def _pairs(pairs: list[tuple[str, Any]]) -> str:
    return ", ".join(f"{sample} ({rank})" for sample, rank in pairs) or "none"


def recount(cache: Path) -> Callable[[Subject, Audit], Iterable[Finding] | None]:
    """Return the check that counts each job again, from its label maps and the masks of the data."""

    def examine(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
        if subject.counts is None or subject.result is None:
            return None
        return list(_recounted(subject, audit, cache))

    return examine


def _recounted(subject: Subject, audit: Audit, cache: Path) -> Iterable[Finding]:
    from bench_core.execute.prepare import open_data

    counts, result, kept = subject.counts, subject.result, subject.predictions
    if kept is None or counts is None or result is None:
        return
    data = open_data(subject.job, audit.registry, cache)
    if data.facts.fingerprint != result.data.fingerprint:
        now, then = data.facts.fingerprint[:16], result.data.fingerprint[:16]
        text = f"the data are {now}… now, the result is of {then}…"
        yield subject.finding(text, RESULT)
        return
    if data.facts.fold_hash != result.data.fold_hash:
        yield subject.finding("the data's folds are not those of the result", RESULT)
    tested = data.tested
    if tested.ids != kept.ids:
        yield subject.finding("its label maps are not of the fold's images", PREDICTIONS)
        return
    masks = (np.asarray(tested.arrays.masks[index]) for index in tested.indices)
    again = count_all(kept, masks, tested.groups, subject.job.dataset.task.classes)
    for sample, mine, truth in zip(counts.ids, counts.values, again.values, strict=True):
        if (mine != truth).any():
            text = f"{sample} counted again gives {truth.tolist()}, its counts say {mine.tolist()}"
            yield subject.finding(text, COUNTS)
            break
    for case in subject.cases():
        if case.id in tested.ids:
            index = tested.indices[tested.ids.index(case.id)]
            if (np.asarray(tested.arrays.masks[index]) != case.mask).any():
                yield subject.finding(f"the picture of {case.id} shows another mask than the data's", CASES)
            image, _ = tested.read([tested.ids.index(case.id)])
            if (image[0].permute(1, 2, 0).numpy() != case.image).any():
                yield subject.finding(f"the picture of {case.id} shows another image than the data's", CASES)
