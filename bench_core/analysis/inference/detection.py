"""What a finished study could have detected on a dataset, from the measured spread of its pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, stdev

from bench_core.analysis.inference.compare import Compared, Judged
from bench_core.analysis.inference.field import Field
from bench_core.analysis.inference.power import Aim, Folding, detectable, groups_needed


@dataclass(frozen=True)
class Range:
    """A number of each pair: that of the middle one, the smallest and the largest."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True)
class Detection:
    """What can be detected on one dataset, differences in the metric's stored unit."""

    dataset: str
    aim: Aim
    groups: int
    images: int
    spread: float
    """Standard deviation of one group's contribution to a difference, of the middle pair."""
    evenness: float
    """Kish's effective number of groups over their number, of the middle pair."""
    smallest: Range | None
    """Detectable differences; None where so few groups prove nothing after correction."""
    needed: tuple[int | None, int | None]
    """Groups that detect the margin for half of the pairs, and for all; None beyond ten million."""
    folding: Folding | None
    """Of the middle pair; None below two folds."""

    @property
    def images_per_group(self) -> float:
        """Return the mean number of different images of a group."""
        return self.images / self.groups

    def images_needed(self, groups: int) -> int:
        """Return how many images so many groups have, if they are as large as those here."""
        return math.ceil(groups * self.images_per_group)


def detection(field: Field, judged: Judged, aim: Aim) -> Detection | None:
    """Return what the pairs of a field can show; None where the error of none of them is known."""
    pairs = [pair for pair in judged.pairs.values() if pair.estimate is not None and pair.groups > 1]
    if not pairs:
        return None
    spreads = [spread_of(pair) for pair in pairs]
    even = [pair.effective / pair.groups for pair in pairs]
    found = [
        detectable(spread, pair.groups, aim, evenness)
        for spread, pair, evenness in zip(spreads, pairs, even, strict=True)
    ]
    return Detection(
        dataset=field.dataset,
        aim=aim,
        groups=len(field.groups),
        images=field.images,
        spread=median(spreads),
        evenness=median(even),
        smallest=_range([value for value in found if value is not None]),
        needed=(
            groups_needed(median(spreads), aim, median(even)),
            groups_needed(max(spreads), aim, median(even)),
        ),
        folding=folding(field, [(pair.model, pair.reference) for pair in pairs]),
    )


def spread_of(pair: Compared) -> float:
    """Return the standard deviation of one group's contribution to a pair's difference."""
    assert pair.estimate is not None
    return pair.estimate.error * math.sqrt(pair.estimate.groups)


def folding(field: Field, pairs: Sequence[tuple[str, str]]) -> Folding | None:
    """Return the cross-validation with the spread of the middle pair; None below two folds."""
    scores = [(field.models[one].folds, field.models[other].folds) for one, other in pairs]
    keys = scores[0][0].keys()
    if len(keys) < 2:
        return None
    folds = len({fold for fold, _ in keys})
    return Folding(
        spread=median(stdev([mine[key] - theirs[key] for key in keys]) for mine, theirs in scores),
        folds=folds,
        cut=field.cut,
        repeats=max(1, len(keys) // folds),
        ratio=field.ratio,
    )


def _range(values: Sequence[float]) -> Range | None:
    return Range(median(values), min(values), max(values)) if values else None
