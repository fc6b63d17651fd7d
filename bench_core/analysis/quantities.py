"""What a study's tables compare: a declared metric in the view that has one number per fold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Evidence, Finished
from bench_core.declarations import Metric
from bench_core.metrics import declared
from bench_core.metrics.counts import EmptyPolicy
from bench_core.metrics.scale import Scale, scale_of
from bench_core.plugins import unknown


@dataclass(frozen=True)
class Quantity(ABC):
    """A number of each fold, of its classes and of its images."""

    metric: Metric

    @property
    def name(self) -> str:
        """What options, files and columns call it."""
        return self.metric.name

    @property
    def title(self) -> str:
        """What headings call it."""
        return self.metric.title

    @property
    def class_title(self) -> str:
        """What headings call it for single classes."""
        return self.metric.of_class

    @property
    @abstractmethod
    def caption(self) -> str:
        """One sentence: how a fold's number comes about."""

    @abstractmethod
    def scale(self, dataset: str) -> Scale:
        """Return how its numbers of a dataset are printed and compared."""

    @abstractmethod
    def of_fold(self, fold: Finished) -> float:
        """Return the fold's number, NaN where it is undefined."""

    @abstractmethod
    def of_classes(self, fold: Finished) -> Mapping[str, float]:
        """Return the fold's number of each class, NaN where it is undefined."""


@dataclass(frozen=True)
class Pooled(Quantity):
    """A metric of pixel counts: sums over a fold's test images and classes, then one division (micro)."""

    @property
    def title(self) -> str:
        """What headings call it: that it is pooled makes it another number than others of this name."""
        return f"micro {self.metric.title}"

    @property
    def caption(self) -> str:
        """One sentence: how a fold's number comes about."""
        return "Micro: pooled over the test images and foreground classes of a fold."

    def scale(self, dataset: str) -> Scale:
        """Return how its numbers are printed and compared, alike on all datasets."""
        return scale_of(self.metric)

    def of_fold(self, fold: Finished) -> float:
        """Return the fold's micro score, NaN where it is undefined."""
        return declared.micro(self.metric, fold.counts.values)

    def of_classes(self, fold: Finished) -> Mapping[str, float]:
        """Return each class's score, pooled over the fold's images."""
        values = declared.per_class(self.metric, fold.counts.values)
        return dict(zip(fold.counts.classes, map(float, values), strict=True))

    def macro(self, fold: Finished) -> float:
        """Return the mean over classes, each pooled over the fold's images."""
        return declared.macro(self.metric, fold.counts.values)

    def of_images(self, fold: Finished, empty: EmptyPolicy = "ignore") -> NDArray[np.float64]:
        """Return the mean [N] over each test image's classes, NaN where it is undefined."""
        return declared.per_image(self.metric, fold.counts.values, empty)


def quantities(evidence: Evidence) -> dict[str, Quantity]:
    """Return all quantities that the study has, by name, in the order of tables."""
    return {name: Pooled(metric) for name, metric in evidence.metrics.items() if metric.needs == "counts"}


def quantity(evidence: Evidence, name: str) -> Quantity:
    """Return one quantity; raises UnknownNameError with the nearest name."""
    found = quantities(evidence)
    if name not in found:
        raise unknown("metric", name, found)
    return found[name]
