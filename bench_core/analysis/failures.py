"""Images that are hard for all models, and images on which one model fails and another does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.field import Field, mean_of_folds


@dataclass(frozen=True)
class ImageRow:
    """One tested image; scores in the metric's stored unit."""

    id: str
    group: str
    scores: Mapping[str, float]
    """By model, the mean over repeats; models whose score is undefined are not in it."""

    @property
    def median(self) -> float:
        """Middle score of the models."""
        return float(np.median(list(self.scores.values())))


@dataclass(frozen=True, eq=False)
class Failures:
    """Models that were tested on the same images of a dataset, image by image."""

    field: Field

    @cached_property
    def _scores(self) -> tuple[tuple[str, ...], tuple[str, ...], NDArray[np.float64]]:
        """Ids, groups, and scores [M, N]: the mean over repeats, NaN where undefined."""
        places = {sample: place for place, sample in enumerate(dict.fromkeys(self.field.ids))}
        rows = np.array([places[sample] for sample in self.field.ids], dtype=np.intp)
        groups = [""] * len(places)
        for sample, group in zip(self.field.ids, self.field.of_image, strict=True):
            groups[places[sample]] = self.field.groups[group]
        means = []
        for found in self.field.models.values():
            known = ~np.isnan(found.scores)
            number = np.bincount(rows[known], minlength=len(places))
            total = np.bincount(rows[known], weights=found.scores[known], minlength=len(places))
            means.append(np.where(number > 0, total / np.maximum(number, 1), np.nan))
        return tuple(places), tuple(groups), np.stack(means)

    @property
    def images(self) -> int:
        """How many different images there are."""
        return len(self._scores[0])

    @cached_property
    def _gains(self) -> NDArray[np.float64]:
        """Scores [M, N], larger is better."""
        lower = self.field.quantity.scale(self.field.dataset).better == "lower"
        return -self._scores[2] if lower else self._scores[2]

    def row(self, place: int) -> ImageRow:
        """Return one image."""
        ids, groups, scores = self._scores
        values = dict(zip(self.field.models, scores[:, place].tolist(), strict=True))
        known = {model: value for model, value in values.items() if value == value}
        return ImageRow(ids[place], groups[place], known)

    def best(self, row: ImageRow) -> str:
        """Return the model with the best score of an image, of equal ones the first."""
        order = self.field.quantity.scale(self.field.dataset).order
        return min(row.scores, key=lambda model: order(row.scores[model]))

    def hard(self, count: int) -> list[ImageRow]:
        """Return the images whose best model is worst, the worst first; undefined ones are left out."""
        gains = self._gains
        defined = np.flatnonzero(~np.isnan(gains).all(axis=0))
        best = np.nanmax(gains[:, defined], axis=0)
        ids = self._scores[0]
        order = sorted(range(len(defined)), key=lambda number: (best[number], ids[defined[number]]))
        return [self.row(int(defined[number])) for number in order[:count]]

    def missed_by_all(self, low: float) -> int:
        """Return how many images no model gets to `low`, in the stored unit."""
        gains = self._gains
        defined = ~np.isnan(gains).all(axis=0)
        best = np.nanmax(gains[:, defined], axis=0)
        return int(np.sum(best < self._limit(low)))

    def apart(self, failing: str, other: str, count: int) -> list[ImageRow]:
        """Return the images on which `other` is ahead of `failing` by most, the largest difference first."""
        gap = self._gap(failing, other)
        ids = self._scores[0]
        ahead = sorted(np.flatnonzero(gap > 0).tolist(), key=lambda place: (-gap[place], ids[place]))
        return [self.row(place) for place in ahead[:count]]

    def fails_alone(self, failing: str, other: str, low: float) -> int:
        """Return on how many images `failing` stays below `low` and `other` does not."""
        labels, limit = list(self.field.models), self._limit(low)
        mine, theirs = (self._gains[labels.index(label)] for label in (failing, other))
        return int(np.sum((mine < limit) & (theirs >= limit)))

    def _gap(self, failing: str, other: str) -> NDArray[np.float64]:
        labels = list(self.field.models)
        gap = self._gains[labels.index(other)] - self._gains[labels.index(failing)]
        return np.asarray(np.nan_to_num(gap, nan=-np.inf))

    def _limit(self, low: float) -> float:
        return -low if self.field.quantity.scale(self.field.dataset).better == "lower" else low


def usual_pair(field: Field) -> tuple[str, str]:
    """Return the leader and the best model of another family, or the second best of the only one."""
    order = field.quantity.scale(field.dataset).order
    ranked = sorted(
        (label for label in field.models if label != field.leader),
        key=lambda label: order(mean_of_folds(field.models[label])),
    )
    family = field.families[field.leader]
    others = [label for label in ranked if field.families[label] != family]
    return field.leader, (others or ranked)[0]


def folds_of(evidence: Evidence, dataset: str) -> dict[str, int]:
    """Return the fold that tests each image of a dataset."""
    return {
        sample: fold.job.fold.index
        for (_, label), cell in evidence.cells.items()
        if label == dataset
        for fold in cell.folds
        for sample in fold.counts.ids
    }
