"""What every metric owes: a function a property."""

from __future__ import annotations

import re

import numpy as np

from bench_core.conformance.metric_subject import (
    CLASSES,
    ROUNDING,
    Maps,
    MetricSubject,
    Scores,
    blocks,
    drawn,
)
from bench_core.conformance.properties import NotApplicable, Wrong
from bench_core.declarations import resolve_entry
from bench_core.metrics.counts import mean_defined
from bench_core.metrics.declared import of_counts

_UNDEFINED = re.compile(r"undefined|not defined|no score|nan\b|left out", re.IGNORECASE)
_LARGEST_COUNT = 10**12
"""Pixels of a study that no one will exceed."""


def one_score_per_class(subject: MetricSubject) -> None:
    """It returns one number of its unit for each class, of images of every shape."""
    for classes in (1, 2, CLASSES):
        for maps in drawn(6, seed=classes, classes=classes):
            subject.score(maps)
    for shape in ((1, 9), (9, 1), (1, 1)):
        line = np.zeros(shape, np.uint8)
        line.flat[: line.size // 2 + 1] = 1
        for prediction in (line, np.zeros_like(line), line[::-1, ::-1]):
            subject.score(Maps(prediction, line, 1))


def repeatable(subject: MetricSubject) -> None:
    """Equal maps give equal scores, whatever it was asked before, and the maps stay as they are."""
    cases = list(drawn())
    first = [subject.score(maps) for maps in cases]
    again = [subject.score(maps) for maps in reversed(cases)][::-1]
    for one, other in zip(first, again, strict=True):
        if not _equal(one, other):
            raise Wrong("asked twice for the same maps, it gives other scores")
    if subject.declared.needs == "labels":
        maps = cases[0]
        given = [maps.prediction.copy(), maps.truth.copy(), np.zeros(maps.truth.shape, bool)]
        before = [array.copy() for array in given]
        function = resolve_entry(subject.declared.compute)
        function(given[0], given[1], maps.classes, subject.usual_spacing, given[2], **subject.options)
        if any((one != other).any() for one, other in zip(given, before, strict=True)):
            raise Wrong("it changes the maps that it is given", fix="copy what is changed")


def perfect_is_best(subject: MetricSubject) -> None:
    """The truth itself scores best: 1 or 0 of a fraction, 0 of a length that is better when lower."""
    declared = subject.declared
    for maps in drawn():
        perfect = subject.score(Maps(maps.truth, maps.truth))
        found = subject.score(maps)
        for label in range(1, CLASSES + 1):
            if not maps.has(label)[1]:
                continue
            best, other = perfect[label - 1], found[label - 1]
            if np.isnan(best):
                raise Wrong("it has no score for a perfect prediction")
            if subject.better(other, best):
                raise Wrong(
                    f"an imperfect prediction scores {other:.4g}, a perfect one {best:.4g}: "
                    f"is {declared.better} better?"
                )
            known = 1.0 if declared.better == "higher" else 0.0
            limited = declared.unit == "fraction" or declared.better == "lower"
            if limited and abs(best - known) > ROUNDING:
                raise Wrong(f"a perfect prediction scores {best:.6g}, not {known:g}")


def errors_count(subject: MetricSubject) -> None:
    """Some prediction scores worse than the truth."""
    for maps in (*blocks(), *drawn()):
        perfect, found = subject.score(Maps(maps.truth, maps.truth)), subject.score(maps)
        for label in range(1, CLASSES + 1):
            if all(maps.has(label)) and subject.better(perfect[label - 1], found[label - 1]):
                return
    raise Wrong("every prediction scores alike")


def empty_and_missed(subject: MetricSubject) -> None:
    """What is missed has a number below the best; what is nowhere has none or the best, as `empty` says."""
    best = {"higher": 1.0, "lower": 0.0}[subject.declared.better]
    undefined = False
    for maps in drawn(60):
        perfect = subject.score(Maps(maps.truth, maps.truth))
        for label, score in enumerate(subject.score(maps), start=1):
            predicted, there = maps.has(label)
            if there and np.isnan(score):
                missed = "missed" if not predicted else "found"
                raise Wrong(
                    f"a structure that is {missed} has no score, and would be left out of means",
                    fix="return the worst number for a structure that is missed",
                )
            if there and not predicted and not subject.better(perfect[label - 1], score):
                raise Wrong(f"a missed structure scores {score:.4g}, as good as a perfect one")
            undefined |= bool(np.isnan(score))
            if np.isnan(score) or there:
                continue
            if not predicted and abs(score - best) > ROUNDING:
                raise Wrong(
                    f"a structure that neither truth nor prediction has scores {score:.4g}",
                    fix="return NaN where neither has it",
                )
            if predicted and abs(score - best) <= ROUNDING:
                raise Wrong(
                    f"a structure that is only predicted scores {score:.4g}, as a perfect one",
                    fix="return the worst number, or NaN, where only the prediction has it",
                )
    if undefined != bool(_UNDEFINED.search(subject.declared.empty)):
        says = (
            "speaks of no undefined score, and there are some" if undefined else "speaks of undefined scores"
        )
        raise Wrong(f"its rule for empty structures {says}", fix="correct `empty`, or the function")


def deleting_never_improves(subject: MetricSubject) -> None:
    """To delete a predicted structure that the truth has improves no score, nor the mean of an image."""
    for maps in (*blocks(), *drawn(40, seed=1)):
        before = subject.score(maps)
        for label in range(1, CLASSES + 1):
            if not all(maps.has(label)):
                continue
            less = np.where(maps.prediction == label, 0, maps.prediction).astype(np.uint8)
            after = subject.score(Maps(less, maps.truth))
            pairs = [(before[label - 1], after[label - 1], "its score")]
            pairs.append((_mean(before), _mean(after), "the mean over the classes"))
            for one, other, what in pairs:
                if subject.better(other, one):
                    raise Wrong(
                        f"a structure that is deleted improves {what} from {one:.4g} to {other:.4g}",
                        fix="give a missed structure the worst score",
                    )


def moving_away_never_improves(subject: MetricSubject) -> None:
    """To move a predicted structure further away, where it no longer meets the truth, improves no score."""
    for maps in drawn(24, seed=2, classes=1):
        if not all(maps.has(1)):
            continue
        for side in range(4):
            prediction, truth = np.rot90(maps.prediction, side), np.rot90(maps.truth, side)
            width = truth.shape[1]
            scores = []
            for offset in (width, width + 1, width + 7):
                canvas = np.zeros((2, truth.shape[0], 2 * width + 7), np.uint8)
                canvas[1, :, :width] = truth
                canvas[0, :, offset : offset + width] = prediction
                scores.append(float(subject.score(Maps(canvas[0], canvas[1], 1))[0]))
            if subject.better(scores[1], scores[0]) or subject.better(scores[2], scores[1]):
                raise Wrong(f"a structure that moves away scores {' then '.join(f'{s:.4g}' for s in scores)}")


def mirrored(subject: MetricSubject) -> None:
    """Mirroring and transposing truth and prediction together changes nothing."""
    for maps in (*blocks(), *drawn(seed=3)):
        pair = (maps.prediction, maps.truth)
        expected = subject.score(maps, (0.5, 2.0))
        for what, turned, spacing in (
            ("mirrored", [labels[:, ::-1] for labels in pair], (0.5, 2.0)),
            ("upside down", [labels[::-1] for labels in pair], (0.5, 2.0)),
            ("transposed, its spacing with it,", [labels.T for labels in pair], (2.0, 0.5)),
        ):
            if not _close(subject.score(Maps(turned[0], turned[1]), spacing), expected):
                raise Wrong(f"an image that is {what} has another score", fix="treat rows as columns")


def classes_alike(subject: MetricSubject) -> None:
    """Classes are treated alike: renumbered they take their scores along, and one that is nowhere is free."""
    order = np.array([0, 2, 3, 1], np.uint8)
    for maps in (*blocks(), *drawn(seed=4)):
        expected = subject.score(maps)
        found = subject.score(Maps(order[maps.prediction], order[maps.truth]))
        if not _close(found[order[1:] - 1], expected):
            raise Wrong("classes that change numbers change scores")
        more = subject.score(Maps(maps.prediction, maps.truth, CLASSES + 1))
        if not _close(more[:CLASSES], expected):
            raise Wrong("a class that is nowhere changes the scores of the others")


def ignored(subject: MetricSubject) -> None:
    """Pixels that are ignored count nowhere, whatever is predicted there."""
    if subject.declared.needs == "counts":
        raise NotApplicable("ignored pixels are not in counts")
    random = np.random.default_rng(5)
    for maps in (*blocks(), *drawn(seed=5)):
        nothing = np.zeros(maps.truth.shape, bool)
        if not _equal(subject.score(maps, None, nothing), subject.score(maps)):
            raise Wrong("a mask that ignores nothing changes the score")
        ignore = random.random(maps.truth.shape) < 0.3
        outside = [np.where(ignore, 0, labels).astype(np.uint8) for labels in (maps.prediction, maps.truth)]
        expected = subject.score(Maps(outside[0], outside[1]), None, ignore)
        for label in range(CLASSES + 1):
            filled = np.where(ignore, label, maps.prediction).astype(np.uint8)
            if not _equal(subject.score(Maps(filled, maps.truth), None, ignore), expected):
                raise Wrong("what is predicted under ignored pixels changes the score")


def lengths(subject: MetricSubject) -> None:
    """A length grows with the spacing, and without one it is in pixels."""
    unit = subject.declared.unit
    if unit not in ("length", "mm"):
        raise NotApplicable(f"its unit is {unit}")
    for maps in (*blocks(), *drawn(seed=6)):
        one, two = subject.score(maps, (1.0, 1.0)), subject.score(maps, (2.0, 2.0))
        if not _close(two, 2 * one):
            raise Wrong("pixels of twice the size do not give lengths of twice the size")
        if unit == "length" and not _close(subject.score(maps, None), one):
            raise Wrong("without a spacing it is not in pixels")
    truth = np.zeros((12, 12), np.uint8)
    truth[1:3, 2:10] = 1
    below = Maps(np.roll(truth, 6, axis=0), truth, 1)
    usual = subject.score(below, (1.0, 1.0))
    taller, wider = (subject.score(below, pair) for pair in ((3.0, 1.0), (1.0, 3.0)))
    if _close(taller, usual) and not _close(wider, usual):
        raise Wrong("it takes the spacing for (column, row)", fix="spacing is (row, column)")


def sums(subject: MetricSubject) -> None:
    """Counts of every shape are taken: of one structure, of many images, of whole studies."""
    if subject.declared.needs == "labels":
        raise NotApplicable("it is made of label maps")
    values = np.random.default_rng(7).integers(0, 50, (5, 4, 3))
    values[0, 0] = 0
    whole = of_counts(subject.declared, values)
    each = np.array([[of_counts(subject.declared, row) for row in rows] for rows in values])
    if not _close(whole, each):
        raise Wrong("many counts at once give other scores than one after the other")
    of_counts(subject.declared, np.full((2, 3), _LARGEST_COUNT))


def _mean(scores: Scores) -> float:
    return float(mean_defined(scores))


def _equal(one: Scores, other: Scores) -> bool:
    return bool(np.array_equal(one, other, equal_nan=True))


def _close(one: Scores, other: Scores) -> bool:
    return bool(np.allclose(one, other, rtol=1e-7, atol=1e-9, equal_nan=True))
