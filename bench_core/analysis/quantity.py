"""A number that a study's tables compare: a declared metric in a view that has one number per fold."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Finished
from bench_core.declarations import Metric
from bench_core.metrics import declared
from bench_core.metrics.counts import EmptyPolicy, by_group, mean_defined
from bench_core.metrics.declared import KnownUnit, known_unit
from bench_core.metrics.scale import Scale, scale_of
from bench_core.metrics.tables import ImageScores

Jobs = Mapping[str, Finished]
"""Step jobs by the digest of the evaluate job that they need."""


@dataclass(frozen=True, kw_only=True)
class Quantity(ABC):
    """A number of each fold, of its classes and of its images; NaN wherever it is undefined."""

    metric: Metric
    name: str
    """What options, files and columns call it; unique in a study."""
    suffix: str = ""
    """What tells its title from others of the same metric."""

    @property
    def title(self) -> str:
        """What headings call it."""
        return f"{self.metric.title}{self.suffix}"

    @property
    def class_title(self) -> str:
        """What headings call it for single classes."""
        return f"{self.metric.of_class}{self.suffix}"

    @property
    @abstractmethod
    def caption(self) -> str:
        """How a fold's number comes about, in a sentence or two."""

    @property
    def awaited(self) -> str:
        """What a model without any number still lacks."""
        return "no fold is finished"

    def has(self, fold: Finished) -> bool:
        """Say whether everything is done that the fold's number needs; it may still be undefined."""
        return True

    @abstractmethod
    def scale(self, dataset: str) -> Scale:
        """Return how its numbers of a dataset are printed and compared."""

    @abstractmethod
    def of_fold(self, fold: Finished) -> float:
        """Return the fold's number."""

    @abstractmethod
    def of_classes(self, fold: Finished) -> Mapping[str, float]:
        """Return the fold's number of each class."""

    @abstractmethod
    def of_structures(self, fold: Finished) -> NDArray[np.float64]:
        """Return the numbers [N, K] of each test image's classes, in the order of the fold's counts."""

    @abstractmethod
    def of_images(self, fold: Finished, empty: EmptyPolicy = "ignore") -> NDArray[np.float64]:
        """Return the mean [N] over each test image's classes.

        `empty` says what a class counts that neither mask nor prediction has; only metrics of counts ask.
        """


@dataclass(frozen=True, kw_only=True)
class Pooled(Quantity):
    """A metric of pixel counts: sums over a fold's test images and classes, then one division (micro)."""

    @property
    def title(self) -> str:
        """What headings call it: that it is pooled makes it another number than others of this name."""
        return f"micro {self.metric.title}{self.suffix}"

    @property
    def caption(self) -> str:
        """How a fold's number comes about."""
        return "Micro: pooled over the test images and foreground classes of a fold."

    def scale(self, dataset: str) -> Scale:
        """Return how its numbers are printed and compared, alike on all datasets."""
        return scale_of(self.metric)

    def counts(self, fold: Finished) -> NDArray[np.int64] | None:
        """Return the pixel counts [N, K, 3] of the fold's test images, None where they are not there."""
        return fold.counts.values

    def of_fold(self, fold: Finished) -> float:
        """Return the fold's micro score."""
        counts = self.counts(fold)
        return math.nan if counts is None else declared.micro(self.metric, counts)

    def macro(self, fold: Finished) -> float:
        """Return the mean over classes, each pooled over the fold's images."""
        counts = self.counts(fold)
        return math.nan if counts is None else declared.macro(self.metric, counts)

    def of_classes(self, fold: Finished) -> Mapping[str, float]:
        """Return each class's score, pooled over the fold's images."""
        counts, names = self.counts(fold), fold.counts.classes
        values = np.full(len(names), np.nan) if counts is None else declared.per_class(self.metric, counts)
        return dict(zip(names, map(float, values), strict=True))

    def of_images(self, fold: Finished, empty: EmptyPolicy = "ignore") -> NDArray[np.float64]:
        """Return the mean [N] over each test image's classes."""
        counts = self.counts(fold)
        if counts is None:
            return np.full(len(fold.counts.ids), np.nan)
        return declared.per_image(self.metric, counts, empty)

    def of_structures(self, fold: Finished) -> NDArray[np.float64]:
        """Return the score [N, K] of each test image's classes."""
        counts = self.counts(fold)
        if counts is None:
            return np.full((len(fold.counts.ids), len(fold.counts.classes)), np.nan)
        return declared.of_counts(self.metric, counts)

    def of_groups(self, fold: Finished, empty: EmptyPolicy = "ignore") -> NDArray[np.float64]:
        """Return the mean [G] over each group's classes: of a patient or volume, its test images pooled."""
        counts, groups = self.counts(fold), fold.counts.groups
        if counts is None:
            return np.full(len(set(groups)), np.nan)
        return declared.per_image(self.metric, by_group(counts, groups), empty)


@dataclass(frozen=True, kw_only=True)
class Native(Pooled):
    """A metric of pixel counts at the images' original sizes, as a step `native` left them."""

    jobs: Jobs

    @property
    def caption(self) -> str:
        """How a fold's number comes about."""
        return f"{super().caption} Images are counted at their original size."

    @property
    def awaited(self) -> str:
        """What a model without any number still lacks."""
        return "no fold is counted at original size"

    def has(self, fold: Finished) -> bool:
        """Say whether the fold is counted."""
        return self.counts(fold) is not None

    def counts(self, fold: Finished) -> NDArray[np.int64] | None:
        """Return the counts [N, K, 3] at original sizes, None where the step is not done."""
        found = self.jobs.get(fold.job.digest)
        return None if found is None else found.tables.native_counts


@dataclass(frozen=True, kw_only=True)
class Measured(Quantity):
    """A metric of label maps, as a step `measure` left it: means over images of means over their classes."""

    jobs: Jobs
    lengths: Mapping[str, Literal["px", "mm"]] = field(default_factory=dict)
    """By dataset: the unit of lengths in most of its jobs."""

    @property
    def caption(self) -> str:
        """How a fold's number comes about."""
        text = (
            "The mean over an image's classes, then over a fold's test images. "
            f"What a class of an image scores: {self.metric.empty}."
        )
        if "tolerance" not in self.metric.options or not self.lengths:
            return text
        units = sorted(set(self.lengths.values()))
        where = "; ".join(
            f"{unit} on {', '.join(label for label, found in self.lengths.items() if found == unit)}"
            for unit in units
        )
        return f"{text} The tolerance is in {units[0] if len(units) == 1 else where}."

    @property
    def awaited(self) -> str:
        """What a model without any number still lacks."""
        return "no fold is measured"

    def has(self, fold: Finished) -> bool:
        """Say whether the fold is measured, in the unit of its dataset."""
        return self._scores(fold) is not None

    def scale(self, dataset: str) -> Scale:
        """Return how its numbers of a dataset are printed and compared."""
        return Scale(self._unit(dataset), self.metric.better)

    def of_fold(self, fold: Finished) -> float:
        """Return the mean over the fold's images."""
        return float(mean_defined(self.of_images(fold)))

    def of_classes(self, fold: Finished) -> Mapping[str, float]:
        """Return the mean of each class over the fold's images."""
        means = mean_defined(self.of_structures(fold).T)
        return dict(zip(fold.counts.classes, map(float, means), strict=True))

    def of_images(self, fold: Finished, empty: EmptyPolicy = "ignore") -> NDArray[np.float64]:
        """Return the mean [N] over each test image's classes."""
        return mean_defined(self.of_structures(fold))

    def of_structures(self, fold: Finished) -> NDArray[np.float64]:
        """Return the step's scores [N, K]; all NaN where there are none."""
        scores = self._scores(fold)
        shape = len(fold.counts.ids), len(fold.counts.classes)
        return np.full(shape, np.nan) if scores is None else scores.values

    def _unit(self, dataset: str) -> KnownUnit:
        usual = Counter(self.lengths.values()).most_common(1)
        unit = self.lengths.get(dataset, usual[0][0] if usual else "px")
        return known_unit(self.metric, unit == "mm")

    def _scores(self, fold: Finished) -> ImageScores | None:
        """Return the step's scores; None where it is not done or has measured in another unit."""
        found = self.jobs.get(fold.job.digest)
        scores = found.tables.scores.get(self.metric.name) if found is not None else None
        usual = scores is not None and scores.unit == self._unit(fold.job.dataset.label)
        return scores if usual else None


def pooled(metric: Metric) -> Pooled:
    """Return the quantity that every metric of counts gives."""
    return Pooled(metric=metric, name=metric.name)
