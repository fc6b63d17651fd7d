"""Did all models see and test the same images, and do the counts say what the history says?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.findings import Finding
from bench_core.data.folds import assign_folds, fold_hash
from bench_core.declarations import IGNORE
from bench_core.errors import BenchError
from bench_core.labels import count
from bench_core.metrics.counts import METRICS, micro, per_image
from bench_core.plan.job import fold_seed
from bench_core.records import Case, Counts
from bench_core.store.folder import CASES, COUNTS, RESULT
from bench_core.store.result import Result

ON_DEVICES = 1e-3
"""Largest difference of a metric that is counted twice from the same weights, where it is not exact."""


def data(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare fingerprint, folds and sizes of the data with those of most jobs."""
    if subject.result is None:
        return None
    return list(_data(subject, audit))


def _data(subject: Subject, audit: Audit) -> Iterable[Finding]:
    for keys, peers in (
        (("fingerprint", "fold_hash", "samples", "groups"), audit.same_folds(subject)),
        (("train", "validation", "test"), audit.same_split(subject)),
    ):
        for key in keys:
            usual = audit.usual(f"data {key}", peers, partial(_fact, key=key))
            mine = _fact(subject, key)
            if usual is not None and mine != usual[0]:
                text = f"{key} is {_short(mine)}, {usual[1].job.name} has {_short(usual[0])}"
                yield subject.finding(text, RESULT)


def _fact(subject: Subject, key: str) -> str | None:
    return str(getattr(subject.result.data, key)) if subject.result else None


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 16 else f"{text[:16]}…"


def images(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare the counted images with the fold's, with those of other models, and with the trained ones."""
    if subject.counts is None or subject.result is None:
        return None
    return list(_images(subject, subject.counts, subject.result, audit))


def _images(subject: Subject, counts: Counts, result: Result, audit: Audit) -> Iterable[Finding]:
    split = "test" if subject.job.fold.test else "validation"
    if result.tested != split:
        yield subject.finding(f"it says {result.tested} images, the job counts {split} images", RESULT)
    expected = result.data.test if split == "test" else result.data.validation
    if len(counts.ids) != expected:
        yield subject.finding(f"{len(counts.ids)} images are counted, the fold has {expected}", COUNTS)
    if len(set(counts.ids)) != len(counts.ids):
        yield subject.finding("an image is counted twice", COUNTS)
    usual = audit.usual("tested images", audit.same_tested(subject), _counted)
    mine = _counted(subject)
    if usual is not None and mine != usual[0]:
        there = set(usual[0])
        odd = next((pair for pair in mine or () if pair not in there), None)
        named = f"{odd[0]} (group {odd[1]})" if odd else "their order or number"
        yield subject.finding(f"{usual[1].job.name} counts other images; first here: {named}", COUNTS)
    trained = {sample for epoch in subject.trace or () for batch in epoch.batches for sample in batch}
    both = [sample for sample in counts.ids if sample in trained]
    if both:
        yield subject.finding(f"{len(both)} counted images were trained on, {both[0]} for one", COUNTS)
    evaluated = [peer for peer in audit.same_folds(subject) if peer.job.stage == "evaluate"]
    if evaluated and subject is evaluated[-1]:
        # Once for each dataset and dealing.
        yield from _folds(subject, result, audit)


def _counted(subject: Subject) -> tuple[tuple[str, str], ...] | None:
    counts = subject.counts
    return None if counts is None else tuple(zip(counts.ids, counts.groups, strict=True))


def _folds(subject: Subject, result: Result, audit: Audit) -> Iterable[Finding]:
    """Cut the dataset into folds once more, where all folds have been tested."""
    count = subject.job.fold.count
    tested: dict[int, tuple[tuple[str, str], ...]] = {}
    for peer in audit.same_folds(subject):
        usual = audit.usual("images", audit.same_split(peer), _counted)
        if peer.job.stage == "evaluate" and len(peer.job.fold.test) == 1 and usual is not None:
            tested[peer.job.fold.test[0]] = usual[0]
    if len(tested) < count:
        return
    pairs = [(sample, group, fold) for fold, found in sorted(tested.items()) for sample, group in found]
    ids, groups = [sample for sample, _, _ in pairs], [group for _, group, _ in pairs]
    folds = np.array([fold for _, _, fold in pairs])
    label = subject.job.dataset.label
    if len(set(ids)) != len(ids):
        twice = next(sample for sample in ids if ids.count(sample) > 1)
        yield subject.finding(f"{twice} of {label} is tested in two folds", COUNTS)
    elif fold_hash(ids, folds) != result.data.fold_hash:
        yield subject.finding(f"the tested images of {label} are not the folds of fold_hash", COUNTS)
    elif subject.job.dataset.folds_content:
        return  # The user's own folds; their file is held against the job when the data are opened.
    elif subject.job.dataset.stratify:
        return  # What they are balanced by is in the masks, and looked at when the data are opened.
    elif (assign_folds(ids, groups, count, fold_seed(subject.job)) != folds).any():
        yield subject.finding(f"the folds of {label} are not those of the spec's seed", COUNTS)


def metrics(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare counts with the ground truth of other models, with the history and with the kept pictures."""
    if subject.counts is None or subject.result is None:
        return None
    return list(_metrics(subject, subject.counts, subject.result, audit))


def _metrics(subject: Subject, counts: Counts, result: Result, audit: Audit) -> Iterable[Finding]:
    pixels = subject.job.pixels.image_size**2
    if (counts.values < 0).any() or (counts.values.sum(axis=-1) > pixels).any():
        yield subject.finding(f"counts are negative or exceed the {pixels} pixels of an image", COUNTS)
    usual = audit.usual("truth", audit.same_tested(subject), _truth)
    mine = _truth(subject)
    if usual is not None and mine is not None and mine[0] == usual[0][0] and mine != usual[0]:
        odd = _first_odd(counts, usual[1])
        yield subject.finding(f"its ground truth (TP + FN) of {odd} is not {usual[1].job.name}'s", COUNTS)
    yield from _against_history(subject, counts, result)
    try:
        cases = subject.cases()
    except BenchError as error:
        yield subject.finding(error.message, CASES)
        return
    for case in cases or ():
        text = _recounted(case, counts, 0 if _exact(result) else ON_DEVICES * pixels)
        if text is not None:
            yield subject.finding(f"the picture of {case.id}: {text}", CASES)


def _truth(subject: Subject) -> tuple[tuple[str, ...], bytes] | None:
    counts = subject.counts
    return None if counts is None else (counts.ids, _foreground(counts).tobytes())


def _foreground(counts: Counts) -> NDArray[np.int64]:
    """Return the pixels of each class in the mask [N, K]."""
    found: NDArray[np.int64] = counts.values[..., 0] + counts.values[..., 2]
    return found


def _first_odd(counts: Counts, reference: Subject) -> str:
    theirs = _foreground(reference.counts) if reference.counts else _foreground(counts)
    row, column = np.argwhere(_foreground(counts) != theirs)[0]
    return f"{counts.ids[row]}, class {counts.classes[column]},"


def _against_history(subject: Subject, counts: Counts, result: Result) -> Iterable[Finding]:
    training = result.training
    if training is None:
        return
    for number, record in enumerate(training.history):
        text = _impossible(record.validation)
        if text is not None:
            yield subject.finding(f"epoch {number}: {text}", RESULT)
            return
    if subject.job.fold.test not in ((), subject.job.fold.validation):
        return
    # The chosen weights were counted on the very images that chose them.
    allowed = 0.0 if _exact(result) else ON_DEVICES
    validation = training.history[training.chosen_epoch].validation
    for name, value in micro(counts.values).items():
        known = validation.get(name, math.nan)
        if not (math.isnan(value) and math.isnan(known)) and not abs(value - known) <= allowed:
            text = f"the counts give {name} {value!r}, the history of epoch {training.chosen_epoch} {known!r}"
            yield subject.finding(text, COUNTS)
            return


def _exact(result: Result) -> bool:
    """Say whether the same weights give the same counts again: on one CPU, in one environment."""
    return result.provenance.get("device") == "cpu" and result.provenance.get("environments") == 1


def _impossible(validation: Mapping[str, float]) -> str | None:
    """Return how metrics contradict each other: all four come from the same three sums."""
    values = {name: validation[name] for name in METRICS}
    odd = next((name for name, value in values.items() if value < 0 or value > 1), None)
    if odd is not None:
        return f"{odd} is {values[odd]!r}"
    dice, iou = values["mdsc"], values["miou"]
    if not math.isnan(dice + iou) and not math.isclose(dice, 2 * iou / (1 + iou), abs_tol=1e-9):
        return f"mdsc {dice!r} and miou {iou!r} cannot come from the same counts"
    recall, precision = values["mrecall"], values["mprecision"]
    if recall + precision > 0 and not math.isclose(
        dice, 2 * recall * precision / (recall + precision), abs_tol=1e-9
    ):
        return f"mdsc {dice!r}, mrecall {recall!r} and mprecision {precision!r} do not fit"
    return None


def _recounted(case: Case, counts: Counts, allowed: float) -> str | None:
    """Return what is wrong with a picture: its mask and prediction, counted, must give its row of counts."""
    if case.id not in counts.ids:
        return "it is none of the counted images"
    row, highest = counts.values[counts.ids.index(case.id)], len(counts.classes)
    if case.prediction.max(initial=0) > highest or ((case.mask > highest) & (case.mask != IGNORE)).any():
        return "it holds a label that is not a class"
    again = count(case.prediction, case.mask, len(counts.classes))
    if np.abs(again - row).max() > allowed:
        return f"counted again, it gives {again.tolist()}, the counts say {row.tolist()}"
    dice = float(per_image(row[None])["mdsc"][0])
    if not math.isclose(dice, case.dice, abs_tol=1e-9):
        return f"its Dice is {case.dice!r}, its counts give {dice!r}"
    return None
