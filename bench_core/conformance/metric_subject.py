"""A metric under test, and drawn label maps to try it on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.conformance.declared import Origin, origin_of
from bench_core.conformance.properties import place_of
from bench_core.declarations import Metric
from bench_core.errors import UnknownNameError
from bench_core.labels import count
from bench_core.metrics.declared import of_counts, of_labels
from bench_core.options import Option, complete_options
from bench_core.plugins.registry import Registry

Labels = NDArray[np.uint8]
Scores = NDArray[np.float64]
Spacing = tuple[float, float]
CLASSES = 3
ROUNDING = 1e-9


@dataclass(frozen=True)
class Maps:
    """Prediction and truth [H, W] of one image."""

    prediction: Labels
    truth: Labels
    classes: int = CLASSES

    def has(self, label: int) -> tuple[bool, bool]:
        """Say whether the prediction and the truth have a class."""
        return bool((self.prediction == label).any()), bool((self.truth == label).any())


@dataclass(frozen=True)
class MetricSubject:
    """A metric with options; it is asked for label maps, whichever of maps and counts it needs."""

    declared: Metric
    options: Mapping[str, Any] = field(default_factory=dict)
    """Complete."""
    origin: Origin | None = None

    @property
    def place(self) -> str:
        """Where its function is written."""
        return place_of(self.declared.compute)

    @property
    def options_declared(self) -> Mapping[str, Option]:
        """Its options."""
        return self.declared.options

    @property
    def words(self) -> Mapping[str, str]:
        """What people read of it."""
        found = self.declared
        return {"title": found.title, "definition": found.definition, "empty": found.empty}

    @property
    def usual_spacing(self) -> Spacing | None:
        """A spacing for a metric that is never asked without one."""
        return (1.0, 1.0) if self.declared.unit == "mm" else None

    def score(
        self, maps: Maps, spacing: Spacing | None = None, ignore: NDArray[np.bool_] | None = None
    ) -> Scores:
        """Return the scores [classes] of an image; raises PluginError for what is not a score of its unit."""
        if self.declared.needs == "counts":
            return of_counts(self.declared, count(maps.prediction, maps.truth, maps.classes))
        return of_labels(
            self.declared,
            self.options,
            maps.prediction.copy(),
            maps.truth.copy(),
            maps.classes,
            spacing or self.usual_spacing,
            None if ignore is None else ignore.copy(),
        )

    def better(self, one: float, other: float) -> bool:
        """Say whether one score is better than another, by more than rounding."""
        gain = one - other if self.declared.better == "higher" else other - one
        return gain > ROUNDING * max(1.0, abs(one), abs(other))


def subject_of(registry: Registry, name: str, given: Mapping[str, Any]) -> MetricSubject:
    """Return a metric to test; raise UnknownNameError for a name or options that do not exist."""
    declared = registry.metric(name)
    try:
        options = complete_options(declared.options, given)
    except ValueError as error:
        raise UnknownNameError(f"{name} cannot take these options", cause=str(error)) from error
    return MetricSubject(declared, options, origin_of(registry, "bench_metrics", name))


def drawn(count: int = 24, seed: int = 0, classes: int = CLASSES) -> Iterator[Maps]:
    """Yield maps of overlapping rectangles, so that structures are large, cut, alike or absent."""
    random = np.random.default_rng(seed)
    for number in range(count):
        shape = tuple(int(side) for side in random.integers(6, 24, 2))
        maps = [np.zeros(shape, np.uint8) for _ in range(2)]
        for labels in maps:
            for _ in range(int(random.integers(0, 6))):
                top, left = (int(random.integers(0, side)) for side in shape)
                high, wide = (int(random.integers(1, side + 1)) for side in shape)
                labels[top : top + high, left : left + wide] = random.integers(0, classes + 1)
        if number % 3 == 0:
            # As a network errs: the truth, shifted a little.
            maps[0] = np.roll(maps[1], int(random.integers(-2, 3)), axis=int(random.integers(0, 2)))
        yield Maps(maps[0], maps[1], classes)


def blocks() -> Iterator[Maps]:
    """Yield maps in which both have every class: blocks, and the same blocks shifted or cut."""
    truth = np.zeros((20, 26), np.uint8)
    truth[2:8, 3:11], truth[10:17, 4:12], truth[3:14, 15:23] = 1, 2, 3
    yield Maps(truth, truth)
    for rows, columns in ((1, 0), (0, 1), (2, 1)):
        yield Maps(np.roll(truth, (rows, columns), (0, 1)), truth)
    cut = truth.copy()
    cut[:, ::5] = 0
    yield Maps(cut, truth)
