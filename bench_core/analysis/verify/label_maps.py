"""Do counts and pictures follow from the kept label maps?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.findings import Finding, told
from bench_core.errors import BenchError
from bench_core.labels import choose_cases
from bench_core.records import Counts, Predictions
from bench_core.store.folder import CASES, COUNTS, PREDICTIONS


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
        yield subject.finding(f"a label map holds {int(kept.labels.max())}, not a class", PREDICTIONS)
        return
    for sample, labels, rows in zip(kept.ids, kept.labels, counts.values, strict=True):
        painted = np.bincount(labels.ravel(), minlength=classes + 1)[1 : classes + 1]
        claimed = rows[:, 0] + rows[:, 1]
        # Pixels that count nowhere may be painted, too: with them there are more than are counted.
        ignoring = _ignores(subject)
        if (claimed > painted).any() or (not ignoring and (claimed != painted).any()):
            text = f"its label map of {sample} has {painted.tolist()} pixels of each class, its counts say "
            yield subject.finding(f"{text}{claimed.tolist()} (TP + FP)", COUNTS)
            break
    yield from _pictures(subject, counts, kept)


def _ignores(subject: Subject) -> bool:
    return subject.job.pixels.padding == "ignore" or subject.job.dataset.task.ignore


def _pictures(subject: Subject, counts: Counts, kept: Predictions) -> Iterable[Finding]:
    try:
        cases = subject.cases()
    except BenchError:
        return
    if cases is None:
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
